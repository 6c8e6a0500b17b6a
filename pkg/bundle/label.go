package bundle

import (
	"errors"
	"io/fs"
	"strings"

	"github.com/virt-pki/virt-pki/pkg/layout"
	"github.com/virt-pki/virt-pki/pkg/selinux"
)

// A LabelEntry says of a credential file's SELinux label what it is, and what the host's policy has for it.
type LabelEntry struct {
	// Context is the label that the file has; empty: none.
	Context string `json:"context,omitempty"`
	// Policy is the one that the policy has; empty: none. PolicyError says why it is not known.
	Policy      string `json:"policy,omitempty"`
	PolicyError string `json:"policy_error,omitempty"`
	// Customizable says that restorecon leaves the file's type alone.
	Customizable bool `json:"customizable,omitempty"`
}

// labels notes the labels of the credential files that were collected.
func (c *collector) labels() {
	l := c.o.Labels
	if l == nil || l.Mode == selinux.Absent || l.Mode == selinux.Disabled {
		return
	}
	for name := range c.credentials {
		real, info, err := follow(c.fsys, name, nil)
		if err != nil || info.Mode()&fs.ModeSymlink != 0 {
			continue
		}
		e := c.entries["/"+real]
		if e == nil {
			continue
		}
		context, err := l.Read("/" + real)
		if err != nil && !errors.Is(err, layout.ErrNoLabel) {
			continue
		}
		e.SELinux = &LabelEntry{Context: strings.TrimRight(context, "\x00")}
		if l.Customizable != nil {
			e.SELinux.Customizable = l.Customizable(selinux.TypeOf(context))
		}
		if l.Expected == nil {
			e.SELinux.PolicyError = "the policy was not at hand"
			continue
		}
		if e.SELinux.Policy, err = l.Expected("/"+real, info.Mode()); err != nil {
			e.SELinux.PolicyError = err.Error()
		}
	}
}

// Labels gives what was collected of the host's SELinux labels; nil: nothing, or there is no SELinux.
func (h *Host) Labels() *layout.Labels {
	if h.Manifest == nil || h.Manifest.SELinux == "" {
		return nil
	}
	entries := map[string]*LabelEntry{}
	customizable := map[string]bool{}
	for _, e := range h.Manifest.Entries {
		if e.SELinux != nil {
			entries[e.Path] = e.SELinux
			customizable[selinux.TypeOf(e.SELinux.Context)] = e.SELinux.Customizable
		}
	}
	find := func(name string) *LabelEntry {
		real, _, err := follow(h.fsys, name, nil)
		if err != nil {
			return nil
		}
		return entries["/"+real]
	}
	return &layout.Labels{Mode: selinux.Mode(h.Manifest.SELinux), Customizable: func(kind string) bool { return customizable[kind] },
		Read: func(name string) (string, error) {
			switch e := find(name); {
			case e == nil:
				return "", fs.ErrNotExist
			case e.Context == "":
				return "", layout.ErrNoLabel
			default:
				return e.Context, nil
			}
		},
		Expected: func(name string, _ fs.FileMode) (string, error) {
			e := find(name)
			if e == nil {
				return "", nil
			}
			if e.PolicyError != "" {
				return "", errors.New(e.PolicyError)
			}
			return e.Policy, nil
		}}
}
