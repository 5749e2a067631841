package server

import (
	"testing"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"

	"github.com/hull-dev/hull/internal/engine"
)

// Before 1.45 a container's short ID was among its aliases, and clients look for it.
func TestShortIDAmongAliases(t *testing.T) {
	v := &engine.View{ID: "0123456789abcdef", Config: &container.Config{Hostname: "h"}}
	asked := &network.EndpointSettings{Aliases: []string{"www"}}
	out := withShortID(map[string]*network.EndpointSettings{"app": asked, "bridge": {}}, v)
	if got := out["app"].Aliases; len(got) != 3 || got[1] != "0123456789ab" || got[2] != "h" {
		t.Errorf("aliases: %v", got)
	}
	if len(out["bridge"].Aliases) != 0 || len(asked.Aliases) != 1 {
		t.Error("the default network has no aliases, and what others read is not changed")
	}
}
