package route

import (
	"net/url"
	"testing"
)

// A path that a backend may take for another one must not pass, and routes match "//" as "/".
func TestNormalPath(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{ // empty: refused
		"/":                       "/",
		"/a%2Db/%C3%a4":           "/a-b/%C3%A4",
		"/a/..%2Fadmin":           "",
		"/a/%2e%2e%2fadmin":       "",
		"/a%2F..":                 "",
		"/a/..;/admin":            "",
		"/a/..;x=1/admin":         "",
		"/a/..%3b/admin":          "",
		"/a/.;/b":                 "",
		"/a/.%3Bx":                "",
		`/a/..\admin`:             "",
		"/a/..%5Cadmin":           "",
		"/a%5c..%5cadmin":         "",
		"/a//../admin":            "",
		"/a/..%00/admin":          "",
		"/admin%00":               "",
		"//admin":                 "/admin",
		"/a///b//":                "/a/b/",
		"/a/...;/b":               "/a/...;/b",
		"/a;x=../b":               "/a;x=../b",
		"/admin%2F":               "/admin%2F",
		"/api/group%2fproject":    "/api/group%2Fproject",
		"/a/..b/.c/d..":           "/a/..b/.c/d..",
		"/proxy/https://x.test/a": "/proxy/https:/x.test/a",
	} {
		u, err := url.ParseRequestURI(path)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		got, ok := normalPath(u)
		if got = mergeSlashes(got); ok != (want != "") || ok && got != want {
			t.Errorf("%s: %q, %v, want %q", path, got, ok, want)
		}
	}
}
