package main

import (
	"os"
	"testing"
)

// TestDecodersAreCurrent: the checked-in decoders are what the generator makes of the specs-go that go.mod names.
func TestDecodersAreCurrent(t *testing.T) {
	want, err := generate()
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../decode_gen.go")
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Error("decode_gen.go is not what the generator makes: run go generate ./internal/ocispec")
	}
}
