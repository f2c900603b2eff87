// Package image makes Eastway's container images out of binaries that were
// built before: from scratch, without Docker and without a registry, and the
// same bytes for the same input. It never runs in production; cmd/eastway does
// not import it.
package image
