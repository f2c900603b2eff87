// Package balance decides where a connection may go and in which order: it
// keeps the health of every endpoint and peer behind every service port (outlier
// detection, ramps, probes) and answers Table.Candidates for each caller: localities by
// their weights; else own zone, own region, near peers, far peers; then endpoints that terminate and still serve;
// ejected ones last. Which of several equals comes first is the policy's choice. What became of each candidate comes
// back through Use: a connection that was accepted or not, a request's answer or what came instead of one.
//
// It never opens a connection and reads no protocol: packages dial, tcp and http use it.
package balance
