package image

import (
	"context"
	"fmt"
	"slices"

	"github.com/containerd/errdefs"
)

// User is a container that was made from an image, or has one mounted.
type User struct {
	Container string // its ID
	Image     ID
	Running   bool
}

// SetUsers says who tells the containers there are: images that they use are not removed. It is
// called once, before the store serves requests. users must not call the store.
func (s *Store) SetUsers(users func() []User) {
	s.names.Lock()
	defer s.names.Unlock()
	s.users = users
}

// userOf is a container that uses an image, a running one if there is one; nil if there is none.
// The caller has names.
func (s *Store) userOf(id ID) *User {
	if s.users == nil {
		return nil
	}
	var user *User
	for _, u := range s.users() {
		if u.Image == id && (user == nil || u.Running && !user.Running) {
			user = &u
		}
	}
	return user
}

// shortID is how messages show a container.
func shortID(id string) string { return id[:min(12, len(id))] }

// Chain is the chainID of all of the image's layers, "" for an image without any.
func (i *Image) Chain() ChainID {
	if len(i.Layers) == 0 {
		return ""
	}
	return i.Layers[len(i.Layers)-1].Chain
}

// NoSetID says that no file of the image has a set-id bit or a file capability. Of an image that an
// older hulld unpacked that is not known.
func (i *Image) NoSetID() bool {
	return !slices.ContainsFunc(i.Layers, func(l Layer) bool { return !l.NoSetID })
}

// Hold finds an image and keeps its layers until release is called. key is the name of the topmost
// one in the snapshotter's own database, "" for an image without layers. Nothing is written.
func (s *Store) Hold(ctx context.Context, name string) (img *Image, key string, release func(), err error) {
	if img, err = s.Find(ctx, name); err != nil {
		return nil, "", nil, err
	}
	key, release, err = s.HoldChain(img.Chain())
	if errdefs.IsNotFound(err) {
		if len(img.Manifest.Layers) > 0 && len(img.Layers) == 0 {
			return nil, "", nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("%s is no image of a container", name))
		}
		err = errdefs.ErrNotFound.WithMessage("No such image: " + missingName(name)) // it went this moment
	}
	if err != nil {
		return nil, "", nil, err
	}
	return img, key, release, nil
}

// HoldChain keeps a stack of layers, also one that no image has any more.
func (s *Store) HoldChain(chain ChainID) (key string, release func(), err error) {
	if chain == "" {
		return "", func() {}, nil
	}
	return s.meta.Hold(s.opts.Snapshotter, string(chain))
}
