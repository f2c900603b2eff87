package kube

import "time"

const (
	// debounce gathers events: a rollout makes several for one change.
	debounce = 50 * time.Millisecond

	// clientQPS and clientBurst bound requests per second: a list and a watch for each kind, Secret and headless Service.
	clientQPS   = 50
	clientBurst = 100

	// maxSecrets is how many Secrets are followed, each by a watch of its own; about 20 KB each here, and a stream at the API server.
	maxSecrets = 500
	// maxHeadless is how many headless Services have their EndpointSlices followed, by a watch each.
	maxHeadless = 500
	// maxConfigMaps is how many ConfigMaps with CA certificates are followed, as Secrets are.
	maxConfigMaps = 500
	// maxProblems is how many problems are listed.
	maxProblems = 100
)
