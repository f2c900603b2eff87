package originate

import "time"

const (
	// maxSessions is how many TLS sessions are kept for each service, to be resumed: its endpoints often share a server name.
	maxSessions = 64
	// maxFile bounds a file of certificates, in bytes: some hundred roots, as in a Peer's trust bundle.
	maxFile = 1 << 20
	// maxCause bounds what an endpoint and its certificate make of an error's text, in bytes.
	maxCause = 512
	// reread is how often it is looked whether files have changed: as a Secret that is mounted, they change without notice.
	reread = 5 * time.Second
	// confirmMost bounds the wait for the endpoint's answer to our certificate, or to none.
	confirmMost = time.Second
	// confirmLeast is for a host nearby: its handshake takes less than what it may need to look at a certificate.
	confirmLeast = 50 * time.Millisecond
)
