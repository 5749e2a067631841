package registry

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/containerd/errdefs"

	"github.com/hull-dev/hull/internal/reference"
)

// Tags lists the tags of a repository in the registry's order, at most 200,000. A tag that is not of the grammar is left
// out: nobody could pull it.
func (c *Client) Tags(ctx context.Context, repo reference.Repository) ([]string, error) {
	var tags []string
	err := c.read(ctx, repo.Domain, mayResolve, func(e *endpoint) (err error) {
		tags, err = e.tags(ctx, repo)
		return err
	})
	return tags, about("listing the tags of", repo.String(), err)
}

func (e *endpoint) tags(ctx context.Context, repo reference.Repository) ([]string, error) {
	u := e.at(repo, "tags", "list")
	q := u.Query()
	q.Set("n", "1000")
	u.RawQuery = q.Encode()
	var tags []string
	r := &request{method: http.MethodGet, url: u, scopes: pullScope(repo), limit: maxTagsPage, want: []int{http.StatusOK}}
	return tags, e.pages(ctx, r, func(p page) (bool, error) {
		var doc struct {
			Tags []string `json:"tags"`
		}
		if err := json.Unmarshal(p.body, &doc); err != nil {
			return false, e.refuse(errdefs.ErrFailedPrecondition, "gave a list of tags that cannot be read")
		}
		for _, t := range doc.Tags {
			if reference.CheckTag(t) == nil {
				tags = append(tags, t)
			}
		}
		if len(tags) > maxTags {
			return false, e.refuse(errdefs.ErrResourceExhausted, "lists more than %d tags", maxTags)
		}
		return true, nil
	})
}
