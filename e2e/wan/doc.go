// Command wan joins two network namespaces by a line with the delay, jitter,
// loss, rate and silence of a wide-area network (see package link), until it is
// interrupted. Linux, as root:
//
//	go run ./e2e/wan delay=50ms rate=300mbit queue=100ms loss=0.1%
//
// makes two namespaces and prints what they are called; a program is started in
// one by `nsenter --net=/run/netns/NAME program`. Existing ones are joined with
// -a and -b. The settings on the command line hold for both directions; each
// line on standard input changes or shows something:
//
//	set a-b delay=80ms loss=1%     from a to b; b-a, or both
//	set both silent=on             nothing arrives until silent=off
//	show                           settings and counters of both directions
//	quit
//
// Each is answered by lines of which the last is "ok", or by one that begins
// with "error:". At the end of its input the command goes on until a signal
// (INT, TERM, HUP) comes, and shows the counters when it ends. It leaves
// nothing behind; what a killed one could not remove is removed by the next.
package main
