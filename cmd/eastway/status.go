package main

import (
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/internal/admin"
	"github.com/eastway/eastway/tunnel"
)

func newStatusCommand() *cobra.Command {
	var (
		address string
		output  outputFormat
	)
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show a running proxy's peers, lanes and services",
		Long: `Status asks a running proxy what it is connected to and what it serves.

LANES: CC is the congestion control of the connection, LOSS% the share of packets
that were sent again. STATE is that of the peer's replica; "quiet" means not heard
from recently, so that the next stream sends its header alone.
SERVICES: LOCAL and PEERS count ready endpoints of all, on the port with the fewest.
-o json tells more, durations in nanoseconds.`,
		Args: arguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return ask(address, func(client *admin.Client) error {
				status, err := client.Status(cmd.Context())
				if err != nil {
					return err
				}
				if output == outputJSON {
					return printJSON(cmd.OutOrStdout(), status)
				}
				return printStatus(cmd.OutOrStdout(), status, time.Now())
			})
		},
	}
	addAdminFlag(cmd, &address)
	addOutputFlag(cmd, &output)
	return cmd
}

func printStatus(w io.Writer, s admin.Status, now time.Time) error {
	err := printFields(w, [][2]string{
		{"Cluster", s.Cluster},
		{"Replica", s.Replica},
		{"Version", s.Version},
		{"Locality", discovery.Locality{Region: s.Region, Zone: s.Zone}.String()},
		{"Uptime", formatAge(now.Sub(s.Started))},
	})
	if err != nil {
		return err
	}
	sections := []struct {
		title, empty string
		headings     []string
		rows         [][]string
	}{
		{"PEERS", "no peers", []string{"PEER", "STATE", "REPLICAS", "RTT", "LAST ERROR"}, peerRows(s.Peers)},
		{
			"LANES", "no lanes",
			[]string{"PEER", "REPLICA", "LANE", "TRANSPORT", "CC", "RTT", "AGE", "STREAMS", "LOSS%", "STATE"},
			laneRows(s.Peers),
		},
		{
			"SERVICES", "no services",
			[]string{"NAMESPACE", "NAME", "PORTS", "ADDRESSES", "EXPORTED", "LOCAL", "PEERS"},
			serviceRows(s.Services),
		},
	}
	for _, section := range sections {
		fmt.Fprintf(w, "\n%s\n", section.title)
		if len(section.rows) == 0 {
			fmt.Fprintln(w, section.empty)
			continue
		}
		if err := printTable(w, section.headings, section.rows); err != nil {
			return err
		}
	}
	if len(s.Errors) == 0 {
		return nil
	}
	fmt.Fprint(w, "\nERRORS\n")
	for _, e := range s.Errors {
		fmt.Fprintln(w, printable(e))
	}
	return nil
}

func peerRows(peers []tunnel.PeerStatus) [][]string {
	rows := make([][]string, 0, len(peers))
	for i := range peers {
		p := &peers[i]
		rows = append(rows, []string{
			p.Peer, p.State, strconv.Itoa(connected(p.Links)), formatRTT(smallestRTT(p.Links)), p.LastError,
		})
	}
	return rows
}

// connected counts the replicas that take calls; a replica may have a second link while one of two is being given up.
func connected(links []tunnel.LinkStatus) int {
	replicas := make(map[string]bool)
	for i := range links {
		if links[i].State == "connected" {
			replicas[links[i].Replica] = true
		}
	}
	return len(replicas)
}

func smallestRTT(links []tunnel.LinkStatus) time.Duration {
	var smallest time.Duration
	for i := range links {
		if rtt := links[i].RTT; rtt > 0 && (smallest == 0 || rtt < smallest) {
			smallest = rtt
		}
	}
	return smallest
}

func laneRows(peers []tunnel.PeerStatus) [][]string {
	var rows [][]string
	for i := range peers {
		for j := range peers[i].Links {
			link := &peers[i].Links[j]
			for k := range link.Lanes {
				rows = append(rows, laneRow(peers[i].Peer, link, &link.Lanes[k]))
			}
		}
	}
	return rows
}

func laneRow(peer string, link *tunnel.LinkStatus, lane *tunnel.LaneStatus) []string {
	state := link.State
	if lane.Quiet {
		state = "quiet"
	}
	return []string{
		peer, link.Replica, lane.Name, lane.Transport, lane.CongestionControl,
		formatRTT(lane.RTT), formatAge(lane.Age), strconv.Itoa(lane.Streams),
		formatLoss(lane.Sent, lane.Lost), state,
	}
}

func serviceRows(services []admin.ServiceStatus) [][]string {
	rows := make([][]string, 0, len(services))
	for i := range services {
		s := &services[i]
		rows = append(rows, []string{
			s.Namespace, s.Name,
			list(s.Ports, func(p discovery.ServicePort) string { return fmt.Sprintf("%d/%s", p.Port, p.Protocol) }),
			list(s.Addresses, netip.Addr.String),
			formatBool(s.Exported),
			fmt.Sprintf("%d/%d", s.LocalReady, s.LocalTotal),
			list(s.Peers, func(p admin.PeerReadiness) string { return fmt.Sprintf("%s:%d/%d", p.Peer, p.Ready, p.Total) }),
		})
	}
	return rows
}

// list is the words for items, separated by commas.
func list[T any](items []T, word func(T) string) string {
	words := make([]string, len(items))
	for i, item := range items {
		words[i] = word(item)
	}
	return strings.Join(words, ",")
}
