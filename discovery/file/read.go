package file

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/eastway/eastway/internal/atomicfile"
)

// Bounds of what is read.
const (
	// MaxFileSize is the largest manifest file, in bytes; Kubernetes itself takes about 1 MiB per object.
	MaxFileSize = 4 << 20
	// maxFiles is how many files are read of one directory.
	maxFiles = 50_000
	// maxTotal is how much is read of one directory, in bytes.
	maxTotal = 256 << 20
	// maxReadTries is how often reading starts again when the directory changes meanwhile.
	maxReadTries = 5
)

// dataLink is the symbolic link that Kubernetes swaps when a mounted ConfigMap changes.
const dataLink = "..data"

// content is one file as it was read.
type content struct {
	name string
	data []byte
	err  error // errBeyond: the error of an earlier file counts this one
	// ignored is why the file was not read on purpose; "" for a manifest.
	ignored string
}

var (
	errMoved  = errors.New("the directory changed while it was read")
	errBeyond = errors.New("not read")
)

// limits of what is read of one directory.
type limits struct{ files, total int }

// readDir reads all manifest files of a directory at one moment, as far as a file system has moments: it starts again
// if a file vanished or the ConfigMap was swapped meanwhile.
func (l limits) readDir(dir string) (files []content, err error) {
	for range maxReadTries {
		before := linkTarget(dir)
		files, err = l.readOnce(dir)
		if err == nil && linkTarget(dir) != before {
			err = errMoved
		}
		if !errors.Is(err, errMoved) {
			return files, err
		}
	}
	return nil, err
}

func linkTarget(dir string) string {
	target, err := os.Readlink(filepath.Join(dir, dataLink))
	if err != nil {
		return ""
	}
	return target
}

func (l limits) readOnce(dir string) ([]content, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fewDescriptors(err)
	}
	var files, beyond []content
	count, total := 0, 0
	for _, e := range entries {
		if !isManifest(e.Name()) || e.IsDir() {
			if reason := ignored(e); reason != "" {
				files = append(files, content{name: e.Name(), ignored: reason})
			}
			continue
		}
		if count >= l.files || total >= l.total {
			beyond = append(beyond, content{name: e.Name(), err: errBeyond})
			continue
		}
		path := filepath.Join(dir, e.Name())
		data, err := readFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			if _, lerr := os.Lstat(path); lerr != nil {
				return nil, errMoved
			}
			err = errors.New("the symbolic link points nowhere")
		}
		if errors.Is(err, errNoFile) {
			files = append(files, content{name: e.Name(), ignored: "only regular files are read: it is a directory, a pipe, a socket or a device"})
			continue
		}
		if isShort(err) {
			return nil, fewDescriptors(err) // it says nothing about this file
		}
		count, total = count+1, total+len(data)
		files = append(files, content{name: e.Name(), data: data, err: atomicfile.Explain(err)})
	}
	if len(beyond) > 0 {
		beyond[0].err = fmt.Errorf("this and all later files are not read, %d in all: "+
			"the directory has more than %d files or %d MiB; combine or remove some", len(beyond), l.files, l.total>>20)
	}
	return append(files, beyond...), nil
}

// isManifest is true for the names of files that are read. Editors' temporary files (.x.yaml.swp, x.yaml~, #x.yaml#) are not.
func isManifest(name string) bool {
	return !strings.HasPrefix(name, ".") && isManifestExt(filepath.Ext(name))
}

func isManifestExt(ext string) bool {
	return slices.Contains([]string{".yaml", ".yml", ".json"}, strings.ToLower(ext))
}

// ignored is why an entry of the directory is not read, where a user may expect that it is; else "".
func ignored(e fs.DirEntry) string {
	name := e.Name()
	hidden, ext := strings.HasPrefix(name, "."), filepath.Ext(name)
	switch {
	case strings.HasPrefix(name, ".."): // of a mounted ConfigMap
	case hidden && isManifestExt(ext) && !e.IsDir():
		return "hidden files are not read"
	case hidden || strings.HasPrefix(name, "#") || strings.HasSuffix(name, "~") || ext == ".swp" || ext == ".tmp":
	case e.IsDir():
		return "only files directly in the directory are read"
	default:
		return "only files named *.yaml, *.yml and *.json are read"
	}
	return ""
}

var errNoFile = errors.New("not a regular file")

func isShort(err error) bool { return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) }

// fewDescriptors adds what to do to an error for want of descriptors.
func fewDescriptors(err error) error {
	if isShort(err) {
		return fmt.Errorf("%w (raise the limit of open files: LimitNOFILE of systemd, ulimit -n)", err)
	}
	return err
}

func readFile(path string) (data []byte, err error) {
	info, err := os.Stat(path) // before opening: a FIFO would block
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errNoFile
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	data, err = io.ReadAll(io.LimitReader(f, MaxFileSize+1))
	if err != nil {
		return nil, err
	}
	if len(data) > MaxFileSize {
		return nil, fmt.Errorf("larger than %d MiB: split it", MaxFileSize>>20)
	}
	return data, nil
}
