package drill

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/eastway/eastway/failover/drill"
	"github.com/eastway/eastway/internal/terminal"
)

// begins says what is going to happen.
func begins(w io.Writer, spec *drill.Spec, proxies int) {
	what := "lose"
	if spec.Kind == drill.Latency {
		what = fmt.Sprintf("wait %v before", spec.Delay)
	}
	fmt.Fprintf(w, "%s: %v %% of the calls through %s %s %s, for %v at most; more than %d failed calls end it, and so does Ctrl-C.\n",
		spec.Kind, spec.Percent, count(uint64(proxies), "proxy", "proxies"), what, spec.Scope, spec.For, spec.Budget)
}

func count(n uint64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.FormatUint(n, 10) + " " + many
}

// soFar is one line.
func soFar(w io.Writer, r *Result) {
	fmt.Fprintf(w, "%5s  affected: %d calls, %d failed; not affected: %d, %d failed; others: %d, %d failed\n", r.Elapsed.Round(time.Second),
		r.Affected.Total, r.Affected.Failed, r.Beside.Total, r.Beside.Failed, r.Others.Total, r.Others.Failed)
}

// Report prints what has come of a drill.
func Report(w io.Writer, r *Result) error {
	fmt.Fprintf(w, "\n%s, %s: ended after %v: %s\n", r.Spec.Kind, r.Spec.Scope, r.Elapsed.Round(time.Second/10), terminal.Printable(r.Ended))
	for _, lost := range r.Lost {
		fmt.Fprintf(w, "lost: %s\n", terminal.Printable(lost))
	}
	fmt.Fprintln(w)
	row := func(name string, c *drill.Calls) []string {
		return []string{
			name, strconv.FormatUint(c.Total, 10), strconv.FormatUint(c.Failed, 10),
			terminal.RTT(c.Took.Quantile(0.5)), terminal.RTT(c.Took.Quantile(0.99)), terminal.RTT(c.Took.Longest),
		}
	}
	err := terminal.Table(w, []string{"CALLS", "TOTAL", "FAILED", "P50", "P99", "MAX"},
		[][]string{row("affected", &r.Affected), row("not affected", &r.Beside), row("others", &r.Others)})
	if err != nil {
		return fmt.Errorf("drill: %w", err)
	}
	if len(r.Moves) > 0 {
		rows := make([][]string, 0, len(r.Moves))
		for _, m := range r.Moves {
			rows = append(rows, []string{m.From, m.To, strconv.FormatUint(m.Calls, 10)})
		}
		fmt.Fprintln(w)
		if err := terminal.Table(w, []string{"WOULD HAVE GONE TO", "WENT TO", "CALLS"}, rows); err != nil {
			return fmt.Errorf("drill: %w", err)
		}
	}
	fmt.Fprintln(w)
	conclude(w, r)
	return nil
}

func conclude(w io.Writer, r *Result) {
	if r.Pending > 0 {
		fmt.Fprintf(w, "Affected calls still without a result: %d. The access log will have them, with the name of the drill.\n", r.Pending)
	}
	switch {
	case r.Affected.Total > 0:
	case r.Beside.Total > 0:
		fmt.Fprintln(w, "No call would have gone into the scope: the names of its cluster, region and zone are those of 'eastway endpoints'.")
		return
	default:
		fmt.Fprintln(w, "No call was part of the drill: is there traffic for its scope, and is its percentage large enough?")
		return
	}
	fmt.Fprintf(w, "Affected calls under way at a time: %.1f on average, %d at most; on average about %d if all calls were affected.\n",
		r.Mean, r.Peak, r.AtFull())
	if r.Spared > 0 {
		fmt.Fprintf(w, "Calls left alone because too many affected ones had no result yet: %d\n", r.Spared)
	}
	if len(r.Affected.Failures) > 0 {
		var parts []string
		for _, result := range slices.Sorted(maps.Keys(r.Affected.Failures)) {
			parts = append(parts, fmt.Sprintf("%s %d", result, r.Affected.Failures[result]))
		}
		fmt.Fprintf(w, "Affected calls that failed, by their result in the access log: %s\n", terminal.Printable(strings.Join(parts, ", ")))
	}
}
