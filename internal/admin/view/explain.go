package view

import (
	"fmt"
	"io"
	"strconv"

	"github.com/eastway/eastway/internal/status"
	"github.com/eastway/eastway/internal/terminal"
)

// Explanations prints where the next calls go, for each port.
func Explanations(w io.Writer, from Source, ports []status.Explanation) error {
	printSeen(w, from)
	for i := range ports {
		if i > 0 {
			fmt.Fprintln(w)
		}
		if err := printExplanation(w, &ports[i]); err != nil {
			return err
		}
	}
	return nil
}

func printExplanation(w io.Writer, e *status.Explanation) error {
	caller := terminal.None
	if e.Region+e.Zone != "" {
		caller = shortLocality(e.Region, e.Zone)
	}
	fmt.Fprintln(w, terminal.Printable(fmt.Sprintf("Port %d (%s), caller in %s: %s", e.Port, e.Protocol, caller, e.LoadBalancer)))
	if e.Note != "" {
		fmt.Fprintln(w, terminal.Printable(e.Note))
	}
	if e.Request != "" {
		fmt.Fprintln(w, terminal.Printable(e.Request))
	}
	rows := make([][]string, 0, len(e.Candidates))
	for i := range e.Candidates {
		c := &e.Candidates[i]
		weight := terminal.None
		if c.Weight > 0 {
			weight = formatPercent(c.Weight)
		}
		rows = append(rows, []string{
			c.Address, c.Cluster, shortLocality(c.Region, c.Zone), strconv.Itoa(c.Level), weight, strconv.Itoa(c.Active), endpointState(&c.Endpoint),
			formatPercent(c.Share), c.Rule,
		})
	}
	return terminal.Table(w, []string{"ADDRESS", "CLUSTER", "LOCALITY", "LEVEL", "WEIGHT", "ACTIVE", "STATUS", "SHARE", "RULE"}, rows)
}

// formatPercent has one decimal where that is not 0; what is above 0 is never shown as 0.
func formatPercent(p float64) string {
	const least = 0.05
	switch text := strconv.FormatFloat(p, 'f', 1, 64); {
	case p > 0 && p < least:
		return "<0.1%"
	case text[len(text)-2:] == ".0":
		return text[:len(text)-2] + "%"
	default:
		return text + "%"
	}
}
