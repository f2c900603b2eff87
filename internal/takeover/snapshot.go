package takeover

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/eastway/eastway/internal/atomicfile"
)

// snapshotName is the file in the state directory.
const snapshotName = "takeover.json"

// snapshotVersion changes if an older agent would misread the file.
const snapshotVersion = 1

// snapshotFile is the file's content.
type snapshotFile struct {
	Version   int       `json:"version"`
	Inventory Inventory `json:"inventory"`
}

// snapshot keeps the last inventory for an agent that starts while the API server is away. The zero value keeps nothing.
type snapshot struct {
	dir  string
	last []byte
}

// load reads the inventory; ok is false when none is kept.
func (s *snapshot) load() (inv Inventory, ok bool, err error) {
	if s.dir == "" {
		return Inventory{}, false, nil
	}
	path := filepath.Join(s.dir, snapshotName)
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Inventory{}, false, nil
	}
	if err != nil {
		return Inventory{}, false, fmt.Errorf("read the snapshot: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxSnapshotBytes+1))
	if err != nil {
		return Inventory{}, false, fmt.Errorf("read the snapshot %s: %w", path, err)
	}
	inv, err = parseSnapshot(data)
	if err != nil {
		return Inventory{}, false, fmt.Errorf("read the snapshot %s: %w: it is written again when the API server answers", path, err)
	}
	return inv, true, nil
}

// store writes the inventory, if it changed.
func (s *snapshot) store(inv *Inventory) error {
	if s.dir == "" {
		return nil
	}
	data, err := json.Marshal(snapshotFile{Version: snapshotVersion, Inventory: *inv})
	if err != nil {
		return fmt.Errorf("encode the snapshot: %w", err)
	}
	if bytes.Equal(data, s.last) {
		return nil
	}
	if err := atomicfile.Write(filepath.Join(s.dir, snapshotName), data, 0o600); err != nil {
		return err
	}
	s.last = data
	return nil
}

// parseSnapshot accepts what store writes, and nothing that would mislead Decide.
func parseSnapshot(data []byte) (Inventory, error) {
	var file snapshotFile
	if len(data) > maxSnapshotBytes {
		return Inventory{}, fmt.Errorf("it has more than %d bytes", maxSnapshotBytes)
	}
	if err := json.Unmarshal(data, &file); err != nil {
		return Inventory{}, err
	}
	inv := file.Inventory
	switch {
	case file.Version != snapshotVersion:
		return Inventory{}, fmt.Errorf("it is of version %d, not %d", file.Version, snapshotVersion)
	case len(inv.Services) > maxServices:
		return Inventory{}, fmt.Errorf("it has %d services, more than %d", len(inv.Services), maxServices)
	case len(inv.Proxies) > maxProxies:
		return Inventory{}, fmt.Errorf("it has %d proxies, more than %d", len(inv.Proxies), maxProxies)
	}
	for i := range inv.Services {
		if err := inv.Services[i].validate(); err != nil {
			return Inventory{}, err
		}
	}
	for i := range inv.Proxies {
		if p := &inv.Proxies[i]; !usable(p.Address) || p.Health == 0 {
			return Inventory{}, fmt.Errorf("proxy %q has the address %q, health port %d", p.Pod, p.Address, p.Health)
		}
	}
	return inv, nil
}

// validate returns an error for addresses and ports that no table can hold.
func (s *Service) validate() error {
	for _, a := range s.Addresses {
		if !usable(a) {
			return fmt.Errorf("service %q has the address %q", s.Name, a)
		}
	}
	for _, p := range s.Ports {
		if p.Port == 0 {
			return fmt.Errorf("service %q has a port 0", s.Name)
		}
	}
	return nil
}

func usable(a netip.Addr) bool {
	return a.IsValid() && !a.Is4In6() && a.Zone() == "" && !a.IsUnspecified()
}
