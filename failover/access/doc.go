// Package access writes one line per connection (later: per request) to the
// access log. An Entry knows no protocol: handlers fill in what they know of
// where a connection came from, where it went and how it ended.
package access
