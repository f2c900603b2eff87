// Package simnet is a simulated TCP network for tests inside a testing/synctest
// bubble: hosts with addresses, processes that listen and dial, connections with
// latency, jitter, a line rate and bounded buffers, half-closes and resets.
// Everything waits on channels and timers, so that virtual time passes.
//
// Faults are what they are for a real kernel. Silence delays what is
// retransmitted and drops what is not; a killed process leaves its connections
// to the kernel, which ends them with a FIN, or with a RST where SetLinger(0)
// or unread bytes ask for it; a host that vanishes says nothing, and answers
// with RSTs once it is back.
//
// It models no congestion control, no packets and no acknowledgements beyond
// what a socket shows, and carries no UDP.
package simnet
