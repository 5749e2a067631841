package keel

import (
	"os"

	"github.com/hull-dev/hull/internal/ociruntime"
)

func featuresCommand() command {
	return command{
		name: "features", brief: "show the enabled features", max: 0,
		about: "Prints what keel recognises in config.json as JSON, in the form of the runtime specification's features.md.",
		run: func(*ociruntime.Runtime, options, []string) (int, error) {
			_, err := os.Stdout.Write(append(ociruntime.AppendFeatures(nil, Version), '\n'))
			return 0, err
		},
	}
}
