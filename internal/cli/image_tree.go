package cli

import (
	"context"
	"fmt"
	"net/url"
	"strings"
)

// treeImage is an image with its manifests, as /images/json?manifests=1 gives it.
type treeImage struct {
	listedImage
	Manifests []struct {
		ID         string
		Descriptor struct{ Platform *treePlatform }
		Available  bool
		Kind       string
		Size       struct{ Content, Total int64 }
		ImageData  *struct {
			Platform   treePlatform
			Containers []string
		}
	}
}

type treePlatform struct {
	OS           string `json:"os"`
	Architecture string `json:"architecture"`
	Variant      string `json:"variant"`
}

func (p treePlatform) String() string {
	s := p.OS + "/" + p.Architecture
	if p.Variant != "" {
		s += "/" + p.Variant
	}
	return s
}

// imageTree prints images with the platforms of each below it.
func (a *App) imageTree(ctx context.Context, q url.Values, whole bool) error {
	q.Set("manifests", "1")
	var list []treeImage
	if err := a.client.get(ctx, call{method: "GET", path: "/images/json", query: q}, &list); err != nil {
		return err
	}
	id := func(s string) string {
		if whole {
			return s
		}
		return shortID(s)
	}
	var lines [][]string
	for _, img := range list {
		names := img.RepoTags
		if len(names) == 0 {
			names = []string{"<untagged>"}
		}
		var content, total int64
		var rows [][]string
		inUse := false
		for _, m := range img.Manifests {
			content, total = content+m.Size.Content, total+m.Size.Total
			if m.Kind != "image" || m.ImageData == nil {
				continue
			}
			inUse = inUse || len(m.ImageData.Containers) > 0
			rows = append(rows, []string{m.ImageData.Platform.String(), id(m.ID), size(m.Size.Total), size(m.Size.Content), used(len(m.ImageData.Containers) > 0)})
		}
		for i, name := range names {
			lines = append(lines, []string{clean(name), id(img.ID), size(total), size(content), used(inUse)})
			if i == len(names)-1 {
				for j, r := range rows {
					branch := "├─ "
					if j == len(rows)-1 {
						branch = "└─ "
					}
					r[0] = branch + clean(r[0])
					lines = append(lines, r)
				}
			}
		}
	}
	return table(a.Out, []string{"IMAGE", "ID", "DISK USAGE", "CONTENT SIZE", "USED"}, lines)
}

func used(yes bool) string {
	if yes {
		return "✔"
	}
	return ""
}

// platformQuery puts platforms, "os/arch[/variant]" each or several with commas, into a query, as the JSON
// that the API takes.
func platformQuery(q url.Values, name string, platforms []string) error {
	for _, list := range platforms {
		for text := range strings.SplitSeq(list, ",") {
			parts := strings.Split(text, "/")
			if len(parts) < 2 || len(parts) > 3 || parts[0] == "" || parts[1] == "" || strings.ContainsAny(text, `"\{}`) {
				return misused("invalid platform %q: want OS/ARCH[/VARIANT]", text)
			}
			raw := fmt.Sprintf(`{"os":%q,"architecture":%q`, parts[0], parts[1])
			if len(parts) == 3 {
				raw += fmt.Sprintf(`,"variant":%q`, parts[2])
			}
			q.Add(name, raw+"}")
		}
	}
	return nil
}
