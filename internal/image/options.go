package image

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
)

const (
	// Repository is the full name of the image, as containerd wants it; charts/eastway pulls it.
	Repository = "docker.io/eastway/eastway"
	// UserID and GroupID are what the process runs as. 65532 is the number that "nonroot" images
	// commonly have: above every range that distributions give to people.
	UserID, GroupID = 65532, 65532
	// System is the operating system of all images.
	System = "linux"

	binaryPath = "/eastway"
	// statePath is what `eastway proxy --state` defaults to.
	statePath = "/var/lib/eastway"
)

// Options say what goes into the images.
type Options struct {
	// Version is the images' tag, and a label. Letters, digits, '.', '_' and '-'.
	Version string
	// Revision is the commit that was built, a label. Empty: none.
	Revision string
	// Created is the date of everything in the images: that of the commit, so that the same commit gives the same image.
	Created time.Time
	// Binaries has the path of the static binary for each architecture, by its Go name (amd64, arm64).
	Binaries map[string]string
}

// Validate names the first field that is wrong.
func (o Options) Validate() error {
	if _, err := o.tag(); err != nil {
		return err
	}
	if o.Created.IsZero() {
		return errors.New("image: Created is required: the date of the commit, because the time of the build would make every build differ")
	}
	if len(o.Binaries) == 0 {
		return errors.New("image: Binaries is empty: name at least one architecture's binary")
	}
	for arch, path := range o.Binaries {
		if arch == "" || filepath.Base(arch) != arch {
			return fmt.Errorf("image: Binaries: %q is not an architecture: use Go's names, such as amd64", arch)
		}
		info, err := os.Stat(path)
		if err != nil {
			return fmt.Errorf("image: Binaries[%s]: %w", arch, err)
		}
		if !info.Mode().IsRegular() {
			return fmt.Errorf("image: Binaries[%s]: %s is not a file", arch, path)
		}
	}
	return nil
}

// tag is the image's full name with its tag.
func (o Options) tag() (name.Tag, error) {
	tag, err := name.NewTag(Repository+":"+o.Version, name.StrictValidation)
	if err != nil {
		return name.Tag{}, fmt.Errorf("image: Version %q cannot be an image's tag: %w", o.Version, err)
	}
	return tag, nil
}
