// Package relay carries the bytes of one connection between two ends, TCP
// sockets or streams of a tunnel, so that each end sees what it would see
// if they were connected directly: a half-close stays a half-close, a reset
// arrives as a reset (also when nothing reads), what an end sent before its
// reset is delivered first, and a connection that was cut off never ends clean.
// A host that vanishes is noticed after about a minute, whether data is under way or not.
//
// It chooses nothing and knows nothing of services, peers or policies.
package relay
