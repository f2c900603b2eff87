// Package version says which build of Eastway this is. It never decides
// anything: what two builds can do together is negotiated by package tunnel.
package version

import (
	"runtime"
	"runtime/debug"
)

// Protocol names what proxies speak with each other (ALPN). It changes only
// when two releases can no longer talk.
const Protocol = "eastway/1"

// release is set by the linker for builds from a checkout:
// -X github.com/eastway/eastway/internal/version.release=v1.2.3
var release string //nolint:gochecknoglobals // the linker can only set a variable

// unknown stands for what a build does not record, e.g. the commit of a build
// from an unpacked archive.
const unknown = "unknown"

// Info describes a build.
type Info struct {
	Version  string `json:"version"`
	Commit   string `json:"commit"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
	Protocol string `json:"protocol"`
}

// Get describes the running build.
func Get() Info {
	build, _ := debug.ReadBuildInfo()
	return describe(release, build)
}

// describe prefers the release that was set at build time over the module's own
// version, which only `go install …@version` knows. A nil build is allowed.
func describe(release string, build *debug.BuildInfo) Info {
	info := Info{
		Version:  release,
		Commit:   unknown,
		Go:       runtime.Version(),
		Platform: runtime.GOOS + "/" + runtime.GOARCH,
		Protocol: Protocol,
	}
	if build != nil {
		info.Commit = commit(build.Settings)
		if info.Version == "" {
			info.Version = build.Main.Version
		}
	}
	if info.Version == "" {
		info.Version = unknown
	}
	return info
}

// commit is the revision that was built, "-dirty" when files had been changed.
func commit(settings []debug.BuildSetting) string {
	rev, dirty := unknown, ""
	for _, s := range settings {
		switch {
		case s.Key == "vcs.revision" && s.Value != "":
			rev = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = "-dirty"
		}
	}
	if rev == unknown {
		return unknown
	}
	return rev + dirty
}
