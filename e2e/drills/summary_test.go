package drills

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"
)

// complaints are the first lines of what went wrong in the drills, for the end of the output: what stands before it is long.
var complaints struct {
	sync.Mutex
	lines []string
}

// complain is t.Error.
func complain(t *testing.T, err error) {
	t.Helper()
	t.Error(err)
	complaints.Lock()
	defer complaints.Unlock()
	complaints.lines = append(complaints.lines, t.Name()+": "+firstLine(err.Error()))
}

// summary of the reports that were written into a folder since some time: a line for each. "" if there is none.
func summary(dir string, since time.Time) (string, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return "", err
	}
	var reports []report
	for _, file := range files {
		info, err := os.Stat(file)
		if err != nil {
			return "", err
		}
		if info.ModTime().Before(since) {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return "", err
		}
		var r report
		if err := json.Unmarshal(text, &r); err != nil {
			return "", fmt.Errorf("%s: %w", file, err)
		}
		reports = append(reports, r)
	}
	if len(reports) == 0 {
		return "", nil
	}
	slices.SortStableFunc(reports, func(a, b report) int { return cmp.Or(cmp.Compare(a.Drill, b.Drill), cmp.Compare(a.Where, b.Where)) })
	var b bytes.Buffer
	const gap = 2
	table := tabwriter.NewWriter(&b, 0, 0, gap, ' ', 0)
	fmt.Fprintln(table, "DRILL\tWHERE\tSENT\tFAILED\tEXPECTED\tTWICE\tP99\tMAX\tSTREAMS\tCUT\tPUBLISHED")
	for i := range reports {
		r := &reports[i]
		p99, longest := 0.0, 0.0
		for j := range r.Phases {
			p99, longest = max(p99, r.Phases[j].P99), max(longest, r.Phases[j].Max)
		}
		t := &r.Total
		fmt.Fprintf(table, "%s\t%s\t%d\t%d\t%d\t%d\t%.0fms\t%.0fms\t%d\t%d\t%s\n",
			r.Drill, r.Where, t.Sent, t.Failed, t.Excused, t.Twice, p99, longest, t.Streams, t.Cut, cmp.Or(r.Today, "-"))
	}
	_ = table.Flush() // into memory
	return b.String(), nil
}

func TestSummary(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if text, err := summary(dir, time.Time{}); text != "" || err != nil {
		t.Errorf("without reports: %q, %v", text, err)
	}
	first := report{Drill: "b drill", Where: "on real clusters", Phases: []phaseReport{{P99: 3, Max: 5}, {P99: 4, Max: 4}}}
	first.Total = totals{Sent: 10, Failed: 1}
	second := report{Drill: "b drill", Where: "in file mode", Today: "half fail"}
	for _, r := range []report{first, second, {Drill: "a drill", Where: "in file mode"}} {
		if err := r.write(dir); err != nil {
			t.Fatal(err)
		}
	}
	text, err := summary(dir, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	want := `DRILL    WHERE             SENT  FAILED  EXPECTED  TWICE  P99  MAX  STREAMS  CUT  PUBLISHED
a drill  in file mode      0     0       0         0      0ms  0ms  0        0    -
b drill  in file mode      0     0       0         0      0ms  0ms  0        0    half fail
b drill  on real clusters  10    1       0         0      4ms  5ms  0        0    -
`
	if text != want {
		t.Errorf("printed\n%s\nwant\n%s", text, want)
	}
	if text, err := summary(dir, time.Now().Add(time.Hour)); text != "" || err != nil {
		t.Errorf("of an earlier run: %q, %v", text, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "b-drill.json")); err != nil {
		t.Error(err)
	}
	if files, _ := filepath.Glob(filepath.Join(dir, "*in-file-mode*")); len(files) != 2 || !strings.HasSuffix(files[1], "b-drill-in-file-mode.json") {
		t.Errorf("files %v", files)
	}
}
