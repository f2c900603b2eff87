package version_test

import (
	"fmt"

	"github.com/eastway/eastway/internal/version"
)

func ExampleGet() {
	build := version.Get()
	fmt.Println(build.Protocol, build.Version != "", build.Commit != "")
	// Output: eastway/1 true true
}
