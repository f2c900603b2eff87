// Package watch finds out what is judged: it probes the addresses of entries, looks up their names, and queries the admin listener of a proxy for
// what the data plane knows. Its Board has the answers of the server, and reports why. It answers no query.
package watch
