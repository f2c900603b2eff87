// Package dial reaches one of a list of candidates: it tries them in their
// order, races the next one when an answer takes longer than usual, and returns the first that
// accepts. An endpoint of the own cluster is dialed, a peer is reached by a
// stream, with the bytes that the application has already sent (Early; nil where there is
// nothing to send before acceptance, as for HTTP). It also makes the probes of ejected candidates.
//
// It does not choose: candidates come from package balance and get their
// outcomes back. It carries nothing once a candidate has accepted.
package dial
