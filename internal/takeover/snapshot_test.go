package takeover

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func someInventory() Inventory {
	inv := *planInventory(shop("10.96.0.1", "fd00::1"))
	inv.Services = append(inv.Services, Service{Name: "default/no", Refused: "so it is"})
	return inv
}

func TestSnapshot(t *testing.T) {
	t.Parallel()
	s := snapshot{dir: t.TempDir()}
	if _, ok, err := s.load(); ok || err != nil {
		t.Errorf("nothing kept: ok = %v, %v", ok, err)
	}
	want := someInventory()
	if err := s.store(&want); err != nil {
		t.Fatal(err)
	}
	got, ok, err := (&snapshot{dir: s.dir}).load()
	if !ok || err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("load = %+v, %v, %v, want %+v", got, ok, err, want)
	}
	path := filepath.Join(s.dir, snapshotName)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := s.store(&want); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("the same inventory was written again")
	}
	want.Proxies = nil
	if err := s.store(&want); err != nil {
		t.Fatal(err)
	}
	if got, _, _ := s.load(); len(got.Proxies) != 0 {
		t.Errorf("the new inventory was not written: %+v", got)
	}
	if err := (&snapshot{dir: filepath.Join(s.dir, "missing")}).store(&want); err == nil {
		t.Error("no error without the directory")
	}
	none := snapshot{}
	if _, ok, err := none.load(); ok || err != nil || none.store(&want) != nil {
		t.Error("a snapshot without a directory does something")
	}
}

func TestSnapshotThatIsNotUsable(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ content, want string }{
		"cut off":         {`{"version":1,"inven`, "unexpected end"},
		"another version": {`{"version":2}`, "version 2"},
		"no address":      {`{"version":1,"inventory":{"proxies":[{"address":"","health":1}]}}`, "address"},
		"no health port":  {`{"version":1,"inventory":{"proxies":[{"address":"10.0.0.1"}]}}`, "health port 0"},
		"bad cluster IP":  {`{"version":1,"inventory":{"services":[{"name":"a/b","addresses":["::ffff:10.0.0.1"]}]}}`, "a/b"},
		"port 0":          {`{"version":1,"inventory":{"services":[{"name":"a/b","ports":[{"protocol":"TCP"}]}]}}`, "port 0"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := snapshot{dir: t.TempDir()}
			if err := os.WriteFile(filepath.Join(s.dir, snapshotName), []byte(tt.content), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, ok, err := s.load(); ok || err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("load = %v, %v, want %q", ok, err, tt.want)
			}
		})
	}
}

func FuzzParseSnapshot(f *testing.F) {
	good, err := json.Marshal(snapshotFile{Version: snapshotVersion, Inventory: someInventory()})
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{string(good), `{"version":1}`, `{"version":1,"inventory":{"services":[{}],"proxies":[{}]}}`, `[]`, ``} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		inv, err := parseSnapshot(data)
		if err != nil {
			return
		}
		// What is accepted can be decided on, and kept.
		Decide(&inv, nil)
		again, err := json.Marshal(snapshotFile{Version: snapshotVersion, Inventory: inv})
		if err != nil {
			t.Fatal(err)
		}
		if back, err := parseSnapshot(again); err != nil || len(back.Services) != len(inv.Services) || len(back.Proxies) != len(inv.Proxies) {
			t.Errorf("written and read: %+v, %v, want %+v", back, err, inv)
		}
	})
}
