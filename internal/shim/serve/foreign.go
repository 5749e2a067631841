package serve

import "github.com/hull-dev/hull/internal/shim/wire"

func newForeign(s *server, req *wire.CreateBody) driver { return nil }
