package demo

import (
	"fmt"
	"strings"
	"time"
)

// liveWindow is over how long the live view's numbers are taken.
const liveWindow = 2 * time.Second

// live are the lines of the live view.
func (d *director) live() []string {
	d.mu.Lock()
	name, begun := "starting", d.view.begun
	if len(d.phases) > 0 {
		last := d.phases[len(d.phases)-1]
		name, begun = last.name, last.begun
	}
	d.mu.Unlock()
	recent := d.rec.since(time.Now().Add(-liveWindow))
	failed, mockb := 0, make(map[string]int)
	for i := range recent {
		r := &recent[i]
		if !r.ok() {
			failed++
			continue
		}
		if d.world.topo.clusterOf(r.entry) == homeCluster {
			mockb[r.mockb()]++
		}
	}
	down := strings.Join(d.world.down(), ", ")
	if down == "" {
		down = "all up"
	}
	seconds := liveWindow.Seconds()
	return []string{
		"",
		fmt.Sprintf("phase      %s, for %.0f s", name, time.Since(begun).Seconds()),
		fmt.Sprintf("load       %.0f answers/s, %.0f failures/s", float64(len(recent)-failed)/seconds, float64(failed)/seconds),
		fmt.Sprintf("mockb      for load from %s: %s", homeCluster, shares(d.world.topo, mockb)),
		"processes  " + down,
	}
}

// shares prints which zones answered, in the order of the zones: "h 75%  1a 25%".
func shares(t topology, counts map[string]int) string {
	total := 0
	for _, n := range counts {
		total += n
	}
	var parts []string
	for _, z := range t.zones() {
		if n := counts[z.name]; n > 0 {
			parts = append(parts, fmt.Sprintf("%s %s", z.short(), percent(n, total)))
		}
	}
	if len(parts) == 0 {
		return "-"
	}
	return strings.Join(parts, "  ")
}

// percent rounds, but shows a few of many as more than none and less than all.
func percent(n, total int) string {
	p := float64(n) / float64(total) * 100
	switch {
	case p > 0 && p < 1:
		return "<1%"
	case p < 100 && p > 99:
		return ">99%"
	default:
		return fmt.Sprintf("%.0f%%", p)
	}
}
