package view

import (
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/internal/admin"
	"github.com/eastway/eastway/internal/status"
	"github.com/eastway/eastway/internal/terminal"
)

// Status prints what a proxy is connected to and what it serves.
func Status(w io.Writer, from Source, s admin.Status, by *Filter, now time.Time) error {
	fields := [][2]string{
		{"Cluster", s.Cluster},
		{"Replica", s.Replica},
		{"Version", s.Version},
		{"Locality", discovery.Locality{Region: s.Region, Zone: s.Zone}.String()},
		{"Uptime", terminal.Age(now.Sub(s.Started))},
	}
	if len(s.Limits) > 0 {
		fields = append(fields, [2]string{"Limits", limits(s.Limits)})
	}
	if from.Others != "" {
		fields = append([][2]string{{"", from.Others}}, fields...)
	}
	if from.Pod != "" {
		fields = append([][2]string{{"Pod", from.Pod}}, fields...)
	}
	if err := terminal.Fields(w, fields); err != nil {
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
			[]string{"PEER", "REPLICA", "LANE", "CC", "RTT", "AGE", "STRM", "LOSS%", "NOTE"},
			laneRows(s.Peers),
		},
		{
			"SERVICES", "no services",
			[]string{"SERVICE", "PORTS", "ADDRESSES", "EXPORT", "LOCAL", "PEERS"},
			serviceRows(s),
		},
	}
	for _, section := range sections {
		fmt.Fprintf(w, "\n%s\n", section.title)
		if len(section.rows) == 0 {
			fmt.Fprintln(w, by.empty(section.empty))
			continue
		}
		if err := terminal.Table(w, section.headings, section.rows); err != nil {
			return err
		}
	}
	if len(s.Errors) == 0 {
		return nil
	}
	fmt.Fprint(w, "\nERRORS\n")
	for _, e := range s.Errors {
		fmt.Fprintln(w, terminal.Printable(e))
	}
	return nil
}

// limits are how much is in use of what there may be.
func limits(all []status.Limit) string {
	words := make([]string, 0, len(all))
	for _, l := range all {
		words = append(words, fmt.Sprintf("%s %d of %d", l.Name, l.Used, l.Most))
		if l.Used == 0 {
			words[len(words)-1] = fmt.Sprintf("%s %d", l.Name, l.Most)
		}
	}
	return strings.Join(words, ", ")
}

func peerRows(peers []status.Peer) [][]string {
	rows := make([][]string, 0, len(peers))
	for i := range peers {
		p := &peers[i]
		rows = append(rows, []string{
			p.Peer, p.State, strconv.Itoa(connected(p.Links)), terminal.RTT(smallestRTT(p.Links)), p.LastError,
		})
	}
	return rows
}

// connected counts the replicas that take calls; a replica may have a second link while one of two is being given up.
func connected(links []status.Link) int {
	replicas := make(map[string]bool)
	for i := range links {
		if links[i].State == status.Connected {
			replicas[links[i].Replica] = true
		}
	}
	return len(replicas)
}

func smallestRTT(links []status.Link) time.Duration {
	var smallest time.Duration
	for i := range links {
		if rtt := links[i].RTT; rtt > 0 && (smallest == 0 || rtt < smallest) {
			smallest = rtt
		}
	}
	return smallest
}

func laneRows(peers []status.Peer) [][]string {
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

func laneRow(peer string, link *status.Link, lane *status.Lane) []string {
	return []string{
		peer, shortReplica(link.Replica), lane.Name, lane.CongestionControl,
		terminal.RTT(lane.RTT), terminal.Age(lane.Age), strconv.Itoa(lane.Streams),
		terminal.Loss(lane.Sent, lane.Lost), laneNote(link, lane),
	}
}

func laneNote(link *status.Link, lane *status.Lane) string {
	var notes []string
	if lane.Role == status.RoleControl {
		notes = append(notes, status.RoleControl)
	}
	switch {
	case link.State != status.Connected:
		notes = append(notes, link.State)
	case lane.Quiet:
		notes = append(notes, "quiet")
	}
	return strings.Join(notes, ",")
}

// replicaWidth keeps the rows of pods, whose names are long, within a terminal's width, in characters. -o json has the whole name.
const replicaWidth = 16

// shortReplica keeps the end of a pod's name, which distinguishes it from its siblings.
func shortReplica(name string) string {
	if runes := []rune(name); len(runes) > replicaWidth {
		return "…" + string(runes[len(runes)-replicaWidth+1:])
	}
	return name
}

func serviceRows(of admin.Status) [][]string {
	away := unreachable(&of)
	rows := make([][]string, 0, len(of.Services))
	for i := range of.Services {
		s := &of.Services[i]
		rows = append(rows, []string{
			s.Namespace + "/" + s.Name,
			list(s.Ports, formatPort),
			addresses(s),
			terminal.YesNo(s.Exported),
			fmt.Sprintf("%d/%d", s.LocalReady, s.LocalTotal),
			list(s.Peers, func(p admin.PeerReadiness) string {
				counts := fmt.Sprintf("%s:%d/%d", p.Peer, p.Ready, p.Total)
				if away[p.Peer] {
					counts += "(unreachable)"
				}
				return counts
			}),
		})
	}
	return rows
}

// addresses of a service; callers are refused where ports are closed, of which those are named that callers know.
func addresses(s *admin.ServiceStatus) string {
	text := list(s.Addresses, netip.Addr.String)
	if len(s.Vacant) == 0 {
		return text
	}
	var closed []string
	open := false
	for _, p := range s.Ports {
		isOne := func(at netip.AddrPort) bool { return at.Port() == p.Port && slices.Contains(s.Addresses, at.Addr()) }
		if slices.ContainsFunc(s.Vacant, isOne) {
			closed = append(closed, strconv.Itoa(int(p.Port)))
		} else if p.Protocol == discovery.TCP {
			open = true
		}
	}
	if len(closed) == 0 || !open {
		return text + "(refused)"
	}
	return text + "(refused: " + strings.Join(closed, ",") + ")"
}

// formatPort leaves TCP out, as is usual.
func formatPort(p discovery.ServicePort) string {
	switch {
	case p.HTTP:
		return fmt.Sprintf("%d/http", p.Port)
	case p.Protocol == discovery.TCP:
		return strconv.Itoa(int(p.Port))
	}
	return fmt.Sprintf("%d/%s", p.Port, p.Protocol)
}

// list joins the texts of items with commas.
func list[T any](items []T, text func(T) string) string {
	texts := make([]string, len(items))
	for i, item := range items {
		texts[i] = text(item)
	}
	return strings.Join(texts, ",")
}
