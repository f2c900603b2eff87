package repocheck

import (
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// constants are the values, as written, of the constants of that name below a folder.
func constants(folders map[string][]goFile, below, name string) []ast.Expr {
	var found []ast.Expr
	for dir, files := range folders {
		if dir != below && !strings.HasPrefix(dir, below+"/") {
			continue
		}
		for _, f := range files {
			for _, d := range f.syntax.Decls {
				g, ok := d.(*ast.GenDecl)
				if !ok || g.Tok != token.CONST || f.isTest() {
					continue
				}
				for _, s := range g.Specs {
					spec, _ := s.(*ast.ValueSpec)
					for i, n := range spec.Names {
						if n.Name == name && i < len(spec.Values) {
							found = append(found, spec.Values[i])
						}
					}
				}
			}
		}
	}
	return found
}

// quantity reads "64 KiB", "8,192" or "5 min".
func quantity(text string) (int64, error) {
	number, unit, _ := strings.Cut(strings.ReplaceAll(text, ",", ""), " ")
	n, err := strconv.ParseInt(number, 10, 64)
	switch unit {
	case "":
	case "KiB":
		n <<= 10
	case "MiB":
		n <<= 20
	case "s":
		n *= int64(time.Second)
	case "min":
		n *= int64(time.Minute)
	case "h":
		n *= int64(time.Hour)
	default:
		err = fmt.Errorf("unknown unit %q", unit)
	}
	return n, err
}

// durations are the units of package time in nanoseconds.
var durations = strings.NewReplacer("time.Second", "1_000_000_000", "time.Minute", "60_000_000_000", "time.Hour", "3_600_000_000_000")

// The values in docs/limits.md are those of the code.
func TestLimitsAreTrue(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join(root, "docs", "limits.md"))
	if err != nil {
		t.Fatal(err)
	}
	folders := goFiles(t)
	rows := regexp.MustCompile("(?m)^\\|[^|]*\\| `([a-z/]+): ([A-Za-z]+)` \\| ([^|]+) \\|").FindAllStringSubmatch(string(text), -1)
	if len(rows) == 0 {
		t.Fatal("docs/limits.md has no rows")
	}
	for _, m := range rows {
		want, err := quantity(m[3])
		if err != nil {
			t.Errorf("%s: %v", m[2], err)
			continue
		}
		found := constants(folders, m[1], m[2])
		if len(found) == 0 {
			t.Errorf("docs/limits.md: no constant %s below %s", m[2], m[1])
		}
		for _, expr := range found {
			got, err := types.Eval(token.NewFileSet(), nil, token.NoPos, durations.Replace(types.ExprString(expr)))
			if err != nil {
				t.Errorf("%s = %s: %v", m[2], types.ExprString(expr), err)
			} else if got.Value.ExactString() != strconv.FormatInt(want, 10) {
				t.Errorf("docs/limits.md: %s is %s, not %s", m[2], got.Value.ExactString(), m[3])
			}
		}
	}
}

// unlisted are the constants that neither an operator nor a peer meets, by package: they bound waiting, output and the like.
var unlisted = map[string][]string{
	"certs":                        {"maxCommonName", "maxFile", "maxName", "maxTrustDomain"}, // the formats' own bounds
	"discovery":                    {"maxAppProtocol", "maxCreated", "maxFamilies", "maxPeerError", "maxReplicaName"},
	"discovery/file":               {"maxDebounce", "maxReadTries"},
	"discovery/kube":               {"maxBackoff", "maxDebounce", "maxReason", "maxSnapshotHeader"},
	"failover/access":              {"MaxText"},
	"failover/balance":             {"defaultMaxEjectionPercent"}, // docs/configuration.md
	"failover/http":                {"maxMethod", "maxSniff"},
	"internal/admin":               {"maxAnswer", "maxListingAge", "maxProblem"},
	"internal/controller/mcs":      {"maxAffinity", "maxNamed", "maxServiceName"},
	"internal/controller/peers":    {"maxMessage"},
	"internal/controller/policies": {"maxMessage"},
	"internal/manifest":            {"maxPaths"},
	"internal/peering":             {"MaxManifest", "maxShown"},
	"internal/takeover":            {"maxPauses", "maxReadyBytes", "maxRest"},
	"internal/takeover/nft":        {"MaxProxies", "MaxServices"},
	"tunnel":                       {"maxLaneStreams", "maxStrayed"},
	"tunnel/transport":             {"maxConnIDs", "maxDatagram", "maxFrame", "maxPathBytes", "maxStreamID", "maxWindow"},
	"tunnel/wire":                  {"MaxData", "MaxMessage", "MaxName"},
}

// Every constant that is a maximum is in docs/limits.md, or in unlisted.
func TestLimitsAreComplete(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join(root, "docs", "limits.md"))
	if err != nil {
		t.Fatal(err)
	}
	maximum := regexp.MustCompile("^(max|Max|defaultMax)[A-Z]")
	inScope := regexp.MustCompile("^(certs|discovery|failover|tunnel|internal/(admin|controller|httpserve|manifest|peering|takeover))(/|$)")
	for dir, files := range goFiles(t) {
		if !inScope.MatchString(dir) {
			continue
		}
		for i := range files {
			if files[i].isTest() {
				continue
			}
			for _, d := range files[i].syntax.Decls {
				g, ok := d.(*ast.GenDecl)
				if !ok || g.Tok != token.CONST {
					continue
				}
				for _, s := range g.Specs {
					for _, n := range s.(*ast.ValueSpec).Names {
						listed := strings.Contains(string(text), ": "+n.Name+"`") || slices.Contains(unlisted[dir], n.Name)
						if maximum.MatchString(n.Name) && !listed {
							t.Errorf("%s: %s is a limit that docs/limits.md does not have", files[i].path, n.Name)
						}
					}
				}
			}
		}
	}
}
