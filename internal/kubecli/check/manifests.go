package check

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/eastway/eastway/discovery/file"
)

// Manifests checks a directory as a proxy outside Kubernetes would read it. The error is about the directory itself.
func Manifests(cfg file.Config) ([]Check, error) {
	report, err := file.Check(cfg)
	if err != nil {
		return nil, err
	}
	var found, ignored []Result
	for _, e := range report.Errors {
		result := fail
		if e.Warning {
			result = warn
		}
		e.Warning = false // the level says it
		found = append(found, result("%s", e))
	}
	for _, e := range report.Notes {
		ignored = append(ignored, skip("%s: %s", e.File, e.Message))
	}
	const section = "manifests"
	return []Check{
		{Section: section, Name: "not read", Run: func(context.Context) []Result { return ignored }},
		{Section: section, Name: "objects", Run: func(context.Context) []Result { return append(found, used(&report)) }},
	}, nil
}

// used says what a proxy would use.
func used(report *file.Report) Result {
	total := 0
	var kinds []string
	for _, kind := range slices.Sorted(maps.Keys(report.Objects)) {
		if n := report.Objects[kind]; n > 0 {
			total += n
			kinds = append(kinds, fmt.Sprintf("%d %s", n, kind))
		}
	}
	if total == 0 {
		return warn("a proxy uses no object of this directory; files read: %d", report.Files).
			hint("name the directory that holds Services, EndpointSlices, ServiceExports and Peers themselves, not one above it")
	}
	return ok("a proxy uses %s; files read: %d", strings.Join(kinds, ", "), report.Files)
}
