// Package judge decides which addresses of an entry are in DNS answers, from what probes of its public addresses and the data plane report.
// It is fed with events and times, and never makes a call, a lookup or a choice between entries.
package judge
