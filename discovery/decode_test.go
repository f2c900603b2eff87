package discovery

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"go.uber.org/zap"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/eastway/eastway/discovery/catalogpb"
	"github.com/eastway/eastway/tunnel/wire"
)

// goldenMessages are messages whose bytes are in testdata as the first release that has them wrote them: a change breaks its
// neighbors.
func goldenMessages(t *testing.T) map[string][]byte {
	t.Helper()
	e := &export{
		metadata:  Metadata{Ports: []ServicePort{{Name: "http", Port: 80, Protocol: TCP, AppProtocol: "http"}}},
		endpoints: Endpoints{Rows: []Readiness{{Locality: Locality{Region: "r", Zone: "z"}, Port: 80, Ready: 2, Total: 3}}},
	}
	protocols := &export{metadata: Metadata{Ports: []ServicePort{
		{Name: "web", Port: 80, Protocol: TCP, HTTP: true}, {Name: "db", Port: 5432, Protocol: TCP}, {Name: "dns", Port: 53, Protocol: UDP},
	}}}
	one := func(d *delta) []byte {
		m, err := encode("a", 7, d)
		must(t, err)
		if len(m) != 1 {
			t.Fatalf("%d messages", len(m))
		}
		return m[0]
	}
	resync, err := marshal(resyncMessage())
	must(t, err)
	return map[string][]byte{
		"snapshot":  one(&delta{revision: 3, changes: []change{{echo, partMetadata | partReadiness, e}}}),
		"readiness": one(&delta{base: 3, revision: 4, changes: []change{{echo, partReadiness, e}}}),
		"metadata":  one(&delta{base: 5, revision: 6, changes: []change{{echo, partMetadata | partReadiness, richExport()}}}),
		"http":      one(&delta{base: 6, revision: 7, changes: []change{{echo, partMetadata, protocols}}}),
		"capacity":  one(&delta{base: 7, revision: 8, changes: []change{{echo, partReadiness, capacityExport()}}}),
		"withdrawn": one(&delta{base: 4, revision: 5, changes: []change{{echo, partMetadata, nil}}}),
		"resync":    resync,
	}
}

func TestGoldenBytes(t *testing.T) {
	t.Parallel()
	for name, got := range goldenMessages(t) {
		path := filepath.Join("testdata", name+".hex")
		text, err := os.ReadFile(path)
		must(t, err)
		want, err := hex.DecodeString(strings.Join(strings.Fields(string(text)), ""))
		must(t, err)
		if !bytes.Equal(got, want) {
			t.Errorf("%s:\n got %x\nwant %x", name, got, want)
		}
		if _, err := decodeMessage(want); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A newer peer has fields and messages that this release does not know.
func TestNewerPeer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newSide(t, "a", 1, []string{"b"})
		near, far := newPipe()
		done := serve(t.Context(), a, "b", "b1", near)
		unknown := protowire.AppendString(protowire.AppendTag(nil, 99, protowire.BytesType), "from the future")
		must(t, far.Send(t.Context(), unknown))
		u := snapshotOf(1, 1, 3, echo)
		u.ProtoReflect().SetUnknown(unknown)
		u.GetExports()[0].ProtoReflect().SetUnknown(unknown)
		u.GetExports()[0].GetPorts()[0].ProtoReflect().SetUnknown(unknown)
		u.GetReadiness()[0].GetRows()[0].ProtoReflect().SetUnknown(unknown)
		(&puppet{t, far}).update(u)
		if ready(a.catalog) != 3 {
			t.Errorf("ready = %d", ready(a.catalog))
		}
		near.cut()
		<-done
	})
}

func TestInvalidUpdates(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 400)
	row := func(u *catalogpb.Update) *catalogpb.Readiness_Row { return u.GetReadiness()[0].GetRows()[0] }
	port := func(u *catalogpb.Update) *catalogpb.Port { return u.GetExports()[0].GetPorts()[0] }
	tests := map[string]struct {
		change func(*catalogpb.Update)
		want   string // the field
	}{
		"another cluster":    {func(u *catalogpb.Update) { u.Cluster = "c" }, "update.cluster"},
		"no epoch":           {func(u *catalogpb.Update) { u.Epoch = 0 }, "update.epoch"},
		"no revision":        {func(u *catalogpb.Update) { u.Revision = 0 }, "update.revision"},
		"back in time":       {func(u *catalogpb.Update) { u.Base = 5 }, "update.revision"},
		"part out of order":  {func(u *catalogpb.Update) { u.Part = 1 }, "update.part"},
		"snapshot withdraws": {func(u *catalogpb.Update) { u.Withdrawn = []*catalogpb.Service{{}} }, "update.withdrawn"},
		"no service": {
			func(u *catalogpb.Update) { u.GetExports()[0].Service = nil },
			"update.exports[0].service.namespace",
		},
		"namespace": {
			func(u *catalogpb.Update) { u.GetExports()[0].GetService().Namespace = "a/b" },
			"update.exports[0].service.namespace",
		},
		"name": {
			func(u *catalogpb.Update) { u.GetExports()[0].GetService().Name = long },
			"update.exports[0].service.name",
		},
		"twice": {
			func(u *catalogpb.Update) { u.Exports = append(u.Exports, u.GetExports()[0]) },
			"update.exports[1].service",
		},
		"port 0":     {func(u *catalogpb.Update) { port(u).Port = 0 }, "update.exports[0].ports[0].port"},
		"port 65536": {func(u *catalogpb.Update) { port(u).Port = 65536 }, "update.exports[0].ports[0].port"},
		"protocol": {
			func(u *catalogpb.Update) { port(u).Protocol = "tcp" },
			"update.exports[0].ports[0].protocol",
		},
		"HTTP over UDP": {
			func(u *catalogpb.Update) { port(u).Protocol, port(u).Http = UDP, true },
			"update.exports[0].ports[0].http",
		},
		"port name": {func(u *catalogpb.Update) { port(u).Name = "A B" }, "update.exports[0].ports[0].name"},
		"app protocol": {
			func(u *catalogpb.Update) { port(u).AppProtocol = long },
			"update.exports[0].ports[0].appProtocol",
		},
		"port twice": {func(u *catalogpb.Update) {
			u.GetExports()[0].Ports = append(u.GetExports()[0].GetPorts(), port(u))
		}, "update.exports[0].ports[1].port"},
		"too many ports": {
			func(u *catalogpb.Update) { u.GetExports()[0].Ports = make([]*catalogpb.Port, MaxPorts+1) },
			"update.exports[0].ports",
		},
		"rows of no service": {
			func(u *catalogpb.Update) { u.GetReadiness()[0].Service = nil },
			"update.readiness[0].service.namespace",
		},
		"rows twice": {
			func(u *catalogpb.Update) { u.Readiness = append(u.Readiness, u.GetReadiness()[0]) },
			"update.readiness[1].service",
		},
		"row twice": {func(u *catalogpb.Update) {
			u.GetReadiness()[0].Rows = append(u.GetReadiness()[0].GetRows(), row(u))
		}, "update.readiness[0].rows[1]"},
		"too many rows": {func(u *catalogpb.Update) {
			u.GetReadiness()[0].Rows = make([]*catalogpb.Readiness_Row, maxReadiness+1)
		}, "update.readiness[0].rows"},
		"region": {
			func(u *catalogpb.Update) { row(u).Region = "not a label" },
			"update.readiness[0].rows[0].region",
		},
		"zone":                                {func(u *catalogpb.Update) { row(u).Zone = long }, "update.readiness[0].rows[0].zone"},
		"more ready than all":                 {func(u *catalogpb.Update) { row(u).Ready = 9 }, "update.readiness[0].rows[0].ready"},
		"more terminating than are not ready": {func(u *catalogpb.Update) { row(u).Terminating = 2 }, "update.readiness[0].rows[0].terminating"},
		"absurd count": {
			func(u *catalogpb.Update) { row(u).Total = maxEndpoints + 1 },
			"update.readiness[0].rows[0].total",
		},
		"row port":             {func(u *catalogpb.Update) { row(u).Port = 70000 }, "update.readiness[0].rows[0].port"},
		"rows of another port": {func(u *catalogpb.Update) { row(u).Port = 81 }, "update.readiness"},
		"rows of another service": {
			func(u *catalogpb.Update) { u.GetReadiness()[0].GetService().Name = "other" },
			"update.readiness",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				a := newSide(t, "a", 1, []string{"b"})
				near, far := newPipe()
				done := serve(t.Context(), a, "b", "b1", near)
				p := &puppet{t, far}
				p.update(snapshotOf(1, 1, 1, echo))
				u := proto.CloneOf(snapshotOf(1, 2, 2, echo))
				tt.change(u)
				p.update(u)
				var bad *InvalidError
				if err := <-done; !errors.As(err, &bad) || bad.Field != tt.want {
					t.Errorf("err = %v, want field %s", err, tt.want)
				} else if len(err.Error()) > 500 {
					t.Errorf("the error repeats the peer's %d bytes", len(err.Error()))
				}
				if ready(a.catalog) != 1 {
					t.Errorf("ready = %d: the last good state was not kept", ready(a.catalog))
				}
				if a.logs.FilterField(zap.String("field", tt.want)).Len() != 1 {
					t.Errorf("logs: %v", a.logs.All())
				}
			})
		})
	}
}

// TestMessagesFitATunnel: a channel of a tunnel is the Conn that every exchange has.
func TestMessagesFitATunnel(t *testing.T) {
	t.Parallel()
	if messageSize > wire.MaxMessage {
		t.Errorf("messages have up to %d bytes, a tunnel carries %d", messageSize, wire.MaxMessage)
	}
}

func TestBrokenMessages(t *testing.T) {
	t.Parallel()
	for name, data := range map[string][]byte{"garbage": []byte("\xff\xff\xff"), "too large": make([]byte, messageSize+1)} {
		var bad *InvalidError
		if _, err := decodeMessage(data); !errors.As(err, &bad) || bad.Field != "message" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPartsOfAnUpdate(t *testing.T) {
	t.Parallel()
	part := func(n uint32, revision uint64, last bool) *catalogpb.Update {
		u := snapshotOf(1, revision, 1, ServiceName{"demo", fmt.Sprintf("s%d", n)})
		u.Part, u.Last = n, last
		return u
	}
	a := &assembler{peer: "b"}
	for i := range uint32(3) {
		u, done, err := a.take(part(i, 5, i == 2))
		must(t, err)
		if done != (i == 2) || done && len(u.Exports) != 3 {
			t.Fatalf("part %d: %v %+v", i, done, u)
		}
	}
	a = &assembler{peer: "b"}
	_, _, err := a.take(part(0, 5, false))
	must(t, err)
	if _, _, err = a.take(part(1, 6, true)); err == nil {
		t.Error("the next update began within this one")
	}
	if _, _, err = a.take(part(0, 6, true)); err == nil {
		t.Error("a new update began before the last part of this one")
	}
}

// An update may not take more memory than allowed, however many messages it comes in.
func TestUpdatesAreBounded(t *testing.T) {
	t.Parallel()
	a := &assembler{peer: "b"}
	for part := range uint32(maxParts + 1) {
		u := &catalogpb.Update{Cluster: "b", Epoch: 1, Revision: 1, Part: part}
		for i := range 300 {
			u.Exports = append(u.Exports, &catalogpb.Export{Service: &catalogpb.Service{
				Namespace: "n",
				Name:      fmt.Sprintf("s%d-%d", part, i),
			}})
		}
		if _, _, err := a.take(u); err != nil {
			if len(a.exports) > MaxServices+300 {
				t.Errorf("%d services were taken", len(a.exports))
			}
			return
		}
	}
	t.Error("never refused")
}

// FuzzExchange feeds whatever a peer may send into a catalog.
func FuzzExchange(f *testing.F) {
	for _, name := range []string{"snapshot", "readiness", "withdrawn", "resync", "metadata", "http"} {
		text, err := os.ReadFile(filepath.Join("testdata", name+".hex"))
		if err != nil {
			f.Fatal(err)
		}
		b, err := hex.DecodeString(strings.Join(strings.Fields(string(text)), ""))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, []byte{})
		f.Add(b, b)
	}
	f.Fuzz(func(t *testing.T, first, second []byte) {
		c := NewCatalog(nil)
		c.SetLocal(localWith([]string{"a"}, echo))
		as := &assembler{peer: "a"}
		for _, data := range [][]byte{first, second} {
			m, err := decodeMessage(data)
			if err != nil || m.GetUpdate() == nil {
				return
			}
			u, done, err := as.take(m.GetUpdate())
			if err != nil {
				return
			}
			if done && c.UpdateRemote(ReplicaID{"a", "a1"}, u) == nil {
				checkCatalog(t, c)
			}
		}
	})
}

// checkCatalog makes sure that the parts of a catalog agree with each other.
func checkCatalog(t *testing.T, c *Catalog) {
	t.Helper()
	current := c.peers["a"].current
	cost := 0
	for n, e := range current.exports.All() {
		s := c.Snapshot().Services.Get(n)
		if s == nil || len(s.Peers) != 1 || !equalPeerExport(&s.Peers[0], e) {
			t.Fatalf("%s: advert %+v, snapshot %+v", n, e, s)
		}
		cost += exportCost(n, e)
	}
	if cost != current.cost {
		t.Fatalf("cost %d, counted %d", current.cost, cost)
	}
	if n := c.Snapshot().Services.Len(); n > current.exports.Len()+1 {
		t.Fatalf("%d services of %d exports", n, current.exports.Len())
	}
}
