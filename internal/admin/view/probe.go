package view

import (
	"fmt"
	"io"

	"github.com/eastway/eastway/internal/status"
	"github.com/eastway/eastway/internal/terminal"
)

// Probe prints a call, and each of its tries.
func Probe(w io.Writer, from Source, p *status.Probe) error {
	printSeen(w, from)
	verdict := p.Result
	if p.Status != 0 {
		verdict = fmt.Sprintf("status %d", p.Status)
	}
	took := terminal.RTT(p.Total)
	fmt.Fprintln(w, terminal.Printable(fmt.Sprintf("Port %d (%s) at %s: %s after %s", p.Port, p.Protocol, p.Listener, verdict, took)))
	if p.Error != "" {
		fmt.Fprintln(w, terminal.Printable(p.Error))
	}
	if p.Endpoint != "" {
		fmt.Fprintln(w, terminal.Printable(fmt.Sprintf("Endpoint %s in cluster %s, %s", p.Endpoint, p.Cluster, shortLocality(p.Region, p.Zone))))
	}
	rows := make([][]string, 0, len(p.Hops))
	for i := range p.Hops {
		h, tunnel, there := &p.Hops[i], terminal.None, terminal.None
		if h.AtPeer > 0 {
			tunnel, there = terminal.RTT(max(h.Took-h.AtPeer, 0)), terminal.RTT(h.AtPeer)
		}
		rows = append(rows, []string{h.Target, h.Cluster, h.Result, terminal.RTT(h.Took), tunnel, there, h.Reason})
	}
	return terminal.Table(w, []string{"TRY", "CLUSTER", "RESULT", "TOOK", "TUNNEL", "AT PEER", "REASON"}, rows)
}
