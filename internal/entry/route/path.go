package route

import (
	"net/url"
	"strings"
)

// normalPath is the escaped path of a request as routes match it: characters that need no escape are not escaped, escapes are in upper case
// (RFC 3986, 6.2.2). It is not ok for a path with "." or ".." as an element: a backend may resolve these, and then it is another path
// than the one that was matched.
func normalPath(u *url.URL) (path string, ok bool) {
	path = u.EscapedPath()
	if path == "" {
		return "/", true
	}
	if path[0] != '/' {
		return "", false
	}
	path = normalEscapes(path)
	return path, !hasDots(path)
}

func normalEscapes(path string) string {
	if strings.IndexByte(path, '%') < 0 {
		return path
	}
	const digits = "0123456789ABCDEF"
	out := make([]byte, 0, len(path))
	for i := 0; i < len(path); i++ {
		if path[i] != '%' || i+2 >= len(path) || !isHex(path[i+1]) || !isHex(path[i+2]) {
			out = append(out, path[i])
			continue
		}
		c := unhex(path[i+1])<<4 | unhex(path[i+2])
		if isUnreserved(c) {
			out = append(out, c)
		} else {
			out = append(out, '%', digits[c>>4], digits[c&15])
		}
		i += 2
	}
	return string(out)
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

func unhex(c byte) byte {
	switch {
	case c <= '9':
		return c - '0'
	case c <= 'F':
		return c - 'A' + 10
	}
	return c - 'a' + 10
}

func isUnreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-._~", c) >= 0
}

// checkPath says what is wrong with a path of a manifest, match: one to match.
func checkPath(path string, match bool) string {
	if len(path) > maxPathValue {
		return "must have at most 1024 bytes"
	}
	if !strings.HasPrefix(path, "/") {
		return "must begin with /"
	}
	for i := range len(path) {
		if c := path[i]; !isPathByte(c) && (c != '%' || i+2 >= len(path) || !isHex(path[i+1]) || !isHex(path[i+2])) {
			return "must have only characters of a URL's path: escape others with %"
		}
	}
	path = normalEscapes(path)
	switch {
	case hasDots(path):
		return "must not have . or .. as an element"
	case match && strings.Contains(path, "//"):
		return "must not contain //"
	case match && strings.Contains(path, "%2F"):
		return "must not contain %2F"
	}
	return ""
}

// hasDots: one of the path's elements is "." or "..".
func hasDots(path string) bool {
	for element := range strings.SplitSeq(path, "/") {
		if element == "." || element == ".." {
			return true
		}
	}
	return false
}

func isPathByte(c byte) bool { return isUnreserved(c) || strings.IndexByte("/!$&'()*+,;=:@", c) >= 0 }

// replacePrefix replaces a prefix that matches a path, by whole elements.
func replacePrefix(path, prefix, replacement string) string {
	out := strings.TrimSuffix(replacement, "/") + strings.TrimPrefix(path, strings.TrimSuffix(prefix, "/"))
	if out == "" {
		return "/"
	}
	return out
}
