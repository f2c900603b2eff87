package route

import (
	"net/url"
	"strings"
)

// normalPath is the escaped path of a request: characters that need no escape are not escaped, escapes are in upper case (RFC 3986, 6.2.2). It
// is not ok for a path with "." or ".." as an element, or with a NUL: a backend may resolve the first and end the path at the second, and then
// it is another path than the one that was matched.
func normalPath(u *url.URL) (path string, ok bool) {
	path = u.EscapedPath()
	if path == "" {
		return "/", true
	}
	if path[0] != '/' {
		return "", false
	}
	path = normalEscapes(path)
	return path, !hasDots(path) && !strings.Contains(path, "%00")
}

// mergeSlashes makes one slash of several, as many backends do: "//admin" must not pass by the rules of "/admin".
func mergeSlashes(path string) string {
	if !strings.Contains(path, "//") {
		return path
	}
	out := make([]byte, 0, len(path))
	for i := range len(path) {
		if path[i] != '/' || i == 0 || path[i-1] != '/' {
			out = append(out, path[i])
		}
	}
	return string(out)
}

// unescaped is a normal path without escapes but for those of slashes, which end no element.
func unescaped(path string) string {
	plain, err := url.PathUnescape(strings.ReplaceAll(path, "%2F", "%252F"))
	if err != nil {
		return path // not reached: it came from a URL
	}
	return plain
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
	case strings.Contains(path, "%00"):
		return "must not contain %00"
	case match && strings.Contains(path, "//"):
		return "must not contain //"
	case match && strings.Contains(path, "%2F"):
		return "must not contain %2F"
	}
	return ""
}

// hasDots: one of the path's elements is "." or ".." for some backend. Some end an element at a backslash or an escaped slash too, and take
// what follows a semicolon for parameters, not for a part of it.
func hasDots(path string) bool {
	for path != "" {
		at, width := separator(path)
		element := path[:at]
		if semicolon := strings.IndexByte(element, ';'); semicolon >= 0 {
			element = element[:semicolon]
		}
		if semicolon := strings.Index(element, "%3B"); semicolon >= 0 {
			element = element[:semicolon]
		}
		if element == "." || element == ".." {
			return true
		}
		path = path[at+width:]
	}
	return false
}

// separator is where the first element ends, and how long what ends it is.
func separator(path string) (at, width int) {
	for i := range len(path) {
		switch rest := path[i:]; {
		case rest[0] == '/' || rest[0] == '\\':
			return i, 1
		case strings.HasPrefix(rest, "%2F") || strings.HasPrefix(rest, "%5C"):
			return i, len("%2F")
		}
	}
	return len(path), 0
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
