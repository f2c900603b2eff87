package kube

import "time"

const (
	// debounce gathers events: a rollout makes several for one change.
	debounce = 50 * time.Millisecond

	// minBackoff and maxBackoff are the waits between two attempts to follow a kind, before jitter. What a person must do first (install a
	// definition, grant a right) has the longer one from the start.
	minBackoff = 500 * time.Millisecond
	maxBackoff = 5 * time.Second
	// backoffReset is how long a kind must have been followed for the next wait to be the shortest again.
	backoffReset = 30 * time.Second

	// clientQPS and clientBurst bound requests per second: a list and a watch for each kind, Secret and headless Service.
	clientQPS   = 50
	clientBurst = 100

	// maxSecrets is how many Secrets are followed, each by a watch of its own; about 20 KB each here, and a stream at the API server.
	maxSecrets = 500
	// maxHeadless is how many headless Services have their EndpointSlices followed, by a watch each.
	maxHeadless = 500
	// maxReason is how much of an error of the API server is repeated, in bytes.
	maxReason = 400
	// maxProblems is how many problems are listed.
	maxProblems = 100
)
