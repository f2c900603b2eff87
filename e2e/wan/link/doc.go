// Package link is a wide-area network of two ends in user space: a TUN device
// in each of two network namespaces, and between them a line with a delay,
// jitter, loss, a rate, a bottleneck queue and silence, for each direction
// apart and all changeable while it runs.
//
//	l, err := link.Open(link.Config{
//		A:    link.End{Namespace: "east", Addresses: []netip.Prefix{netip.MustParsePrefix("10.9.0.1/30")}},
//		B:    link.End{Namespace: "west", Addresses: []netip.Prefix{netip.MustParsePrefix("10.9.0.2/30")}},
//		AtoB: link.Settings{Delay: 50 * time.Millisecond, Rate: 300e6, QueueTime: 100 * time.Millisecond},
//		BtoA: link.Settings{Delay: 50 * time.Millisecond},
//	})
//	…
//	defer l.Close()
//	return l.Run(ctx)
//
// The way of a packet: it is read from one device (entered), may be lost by
// chance, waits at the bottleneck or is dropped because the queue there is
// full, travels for the delay, and is written to the other device (delivered).
// Packets never overtake each other. They are neither looked into nor changed,
// so IPv4 and IPv6 both pass.
//
// Devices, their addresses and their routes belong to the process: the kernel
// removes them when it ends, however it ends. Namespaces are made and removed
// by package netns. Devices work on Linux only and need root; elsewhere this
// package has nothing but Settings and what they mean.
package link
