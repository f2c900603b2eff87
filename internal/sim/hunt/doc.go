// Hunt runs simulated worlds (internal/sim) in worker processes, as many as
// there are processors. It prints how fast it goes and, for a seed that breaks a
// rule, the shortest trace that it finds. With -mutations it proves that it
// hunts: each change of the product's rules in the list has to be found.
package main
