// Package ratelimit counts calls against the rules of a TrafficPolicy's rateLimit:
// each rule has a token bucket, of which this proxy has its share. It decides
// only whether a call may go on; failover/http and failover/tcp refuse it.
package ratelimit
