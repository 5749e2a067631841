package internal

import (
	_ "github.com/opencontainers/runtime-spec/specs-go"
	_ "golang.org/x/sys/unix"
)
