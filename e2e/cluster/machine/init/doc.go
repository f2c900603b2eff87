// Command init is the first process of a machine (see package machine), started
// by that package in new namespaces. It gives the machine its file systems,
// starts and signals daemons on request, and buries processes whose parents
// have gone. It ends only when it is killed, and everything in the machine with it.
package main
