package kube

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// snapshotFormat is the version of the format; another one is not read.
const snapshotFormat = 1

// header is the first line of a file of the snapshot, as JSON. What follows are the objects, one per line, as JSON.
//
//	{"eastwaySnapshot":1,"cluster":"a","namespace":"eastway-system","resource":"peers","saved":"…","objects":2,"sha256":"…"}
//	{"metadata":{"name":"b"},"spec":{…}}
//	{"metadata":{"name":"c"},"spec":{…}}
type header struct {
	Format int `json:"eastwaySnapshot"`
	// Cluster and Namespace are those of the installation: the files of another one are of no use.
	Cluster   string `json:"cluster"`
	Namespace string `json:"namespace"`
	Resource  string `json:"resource"`
	// Saved is when the objects were as in the API server.
	Saved   time.Time `json:"saved"`
	Objects int       `json:"objects"`
	// SHA256 of everything behind the header's line.
	SHA256 string `json:"sha256"`
}

// errForeign is the error of a snapshot of another cluster or namespace.
var errForeign = errors.New("it is of another installation")

// encodeSnapshot makes a file; Format, Objects and SHA256 are filled in.
func encodeSnapshot(h header, objects []metav1.Object) ([]byte, error) {
	var body bytes.Buffer
	enc := json.NewEncoder(&body) // ends each value with a newline
	enc.SetEscapeHTML(false)
	for _, o := range objects {
		if err := enc.Encode(o); err != nil {
			return nil, fmt.Errorf("encode %s/%s: %w", o.GetNamespace(), o.GetName(), err)
		}
		if body.Len() > maxSnapshot-maxSnapshotHeader {
			return nil, fmt.Errorf("larger than %d MB: not kept", maxSnapshot>>20)
		}
	}
	sum := sha256.Sum256(body.Bytes())
	h.Format, h.Objects, h.SHA256 = snapshotFormat, len(objects), hex.EncodeToString(sum[:])
	first, err := json.Marshal(h)
	if err != nil {
		return nil, fmt.Errorf("encode header: %w", err)
	}
	return append(append(first, '\n'), body.Bytes()...), nil
}

// decodeSnapshot reads a file that is meant for the same installation and resource as want. It returns when it was saved.
// Objects are handed to each one by one, unchecked.
func decodeSnapshot(from io.Reader, want header, empty func() metav1.Object, each func(metav1.Object)) (time.Time, error) {
	data, err := io.ReadAll(io.LimitReader(from, maxSnapshot+1))
	if err != nil {
		return time.Time{}, err
	}
	if len(data) > maxSnapshot {
		return time.Time{}, fmt.Errorf("it is larger than %d MB", maxSnapshot>>20)
	}
	first, body, found := bytes.Cut(data, []byte("\n"))
	if !found || len(first) > maxSnapshotHeader {
		return time.Time{}, errors.New("it does not begin with a header")
	}
	var h header
	if err := json.Unmarshal(first, &h); err != nil {
		return time.Time{}, fmt.Errorf("its header: %w", err)
	}
	if err := h.fits(want); err != nil {
		return time.Time{}, err
	}
	if sum := sha256.Sum256(body); hex.EncodeToString(sum[:]) != h.SHA256 {
		return time.Time{}, errors.New("its checksum is wrong: it is damaged")
	}
	lines := bufio.NewScanner(bytes.NewReader(body))
	lines.Buffer(nil, maxSnapshot)
	objects := make([]metav1.Object, 0, h.Objects)
	for lines.Scan() {
		o := empty()
		if err := json.Unmarshal(lines.Bytes(), o); err != nil {
			return time.Time{}, fmt.Errorf("object %d: %w", len(objects)+1, err)
		}
		if objects = append(objects, o); len(objects) > h.Objects {
			return time.Time{}, errors.New("it has more objects than it says")
		}
	}
	if err := lines.Err(); err != nil {
		return time.Time{}, err
	}
	if len(objects) != h.Objects {
		return time.Time{}, errors.New("it has fewer objects than it says")
	}
	for _, o := range objects {
		each(o)
	}
	return h.Saved, nil
}

// fits returns why a file is not the wanted one.
func (h *header) fits(want header) error {
	switch {
	case h.Format != snapshotFormat:
		return fmt.Errorf("its format is %d, this version reads %d", h.Format, snapshotFormat)
	case h.Resource != want.Resource:
		return fmt.Errorf("it holds %q, not %q", h.Resource, want.Resource)
	case h.Cluster != want.Cluster || h.Namespace != want.Namespace:
		return fmt.Errorf("%w: cluster %q, namespace %q", errForeign, h.Cluster, h.Namespace)
	case h.Objects < 0 || h.Objects > maxSnapshotObjects:
		return fmt.Errorf("it says to hold %d objects", h.Objects)
	}
	return nil
}
