// Package gateway runs the conformance suite of Gateway API, as it is published, against entries on a real cluster, and compares what passes
// with what docs/gateway-api.md says. It has tests only.
package gateway
