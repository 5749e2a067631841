package server

import (
	"strings"

	"github.com/hull-dev/hull/internal/reference"
)

// registryDomain is the domain of a registry as clients name it at login: a URL, a host, or
// Docker Hub's old index.
func registryDomain(address string) string {
	for _, scheme := range []string{"https://", "http://"} {
		address = strings.TrimPrefix(address, scheme)
	}
	host, _, _ := strings.Cut(address, "/")
	if host == "" || host == "index.docker.io" {
		return reference.DefaultDomain
	}
	return host
}
