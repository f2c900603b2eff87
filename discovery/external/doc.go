// Package external finds where services outside all clusters are. It stands between a source and the catalog: it looks up the DNS names of
// their endpoints, again when the answers expire, and adds the addresses. What was found last stays in use while nothing answers.
package external
