package bundle

import (
	"bytes"
	"fmt"
	"io/fs"
	"regexp"
	"strconv"
	"strings"
)

// numbers reads the names that numbers have in /etc/passwd or /etc/group.
func (c *collector) numbers(name string) map[int]string {
	out := map[int]string{}
	text, err := c.peek(name)
	if err != nil {
		return out
	}
	for line := range strings.Lines(string(text)) {
		f := strings.Split(strings.TrimRight(line, "\n"), ":")
		if len(f) < 3 {
			continue
		}
		if n, err := strconv.Atoi(f[2]); err == nil && out[n] == "" {
			out[n] = f[0]
		}
	}
	return out
}

// fullName gives a host's name with its domain: /etc/hosts has it first on the line of the host's name (hosts(5)).
func (c *collector) fullName(host string) string {
	if host == "" || strings.Contains(host, ".") {
		return host
	}
	text, _ := c.peek("/etc/hosts")
	for line := range strings.Lines(string(text)) {
		line, _, _ = strings.Cut(line, "#")
		f := strings.Fields(line)
		for i := 1; i < len(f); i++ {
			if strings.EqualFold(f[i], host) && strings.Contains(f[1], ".") {
				return f[1]
			}
		}
	}
	if c.o.Canonical != nil {
		if full := strings.TrimSuffix(c.o.Canonical(host), "."); full != "" && strings.HasPrefix(strings.ToLower(full), strings.ToLower(host)+".") {
			return full
		}
	}
	return host
}

// release reads os-release(5).
func (c *collector) release() (r Release) {
	text, err := c.peek("/etc/os-release")
	if err != nil {
		text, _ = c.peek("/usr/lib/os-release")
	}
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		value = strings.Trim(value, `"'`)
		switch key {
		case "ID":
			r.ID = value
		case "VERSION_ID":
			r.Version = value
		case "PRETTY_NAME":
			r.Name = value
		}
	}
	return r
}

// packages are those whose version is that of the program, the best first.
var libvirtPackages = []string{"libvirt-daemon", "libvirt0", "libvirt-clients"}

// versions finds the versions of libvirt and GnuTLS: in dpkg's list, else in the names of the libraries.
func (c *collector) versions() (libvirt, gnutls string) {
	installed := c.dpkg()
	for _, p := range libvirtPackages {
		if libvirt == "" {
			libvirt = installed[p]
		}
	}
	for _, p := range []string{"libgnutls30t64", "libgnutls30"} {
		if gnutls == "" {
			gnutls = installed[p]
		}
	}
	if libvirt != "" {
		return libvirt, gnutls
	}
	for _, dir := range libraryDirs {
		real, info, err := follow(c.fsys, dir, nil)
		if err != nil || !info.IsDir() {
			continue
		}
		entries, err := fs.ReadDir(c.fsys, real)
		if err != nil {
			continue
		}
		for _, e := range entries {
			if m := libvirtLibrary.FindStringSubmatch(e.Name()); m != nil {
				n, _ := strconv.Atoi(m[1])
				libvirt = fmt.Sprintf("%d.%d.%s", n/1000, n%1000, m[2])
				if libvirt == "11.3.0" {
					libvirt = "11.3.0-upstream" // without dpkg it is not Debian's
				}
				return libvirt, gnutls
			}
		}
	}
	return "", gnutls
}

// libvirtLibrary is the library's file: libvirt.so.0.MAJOR*1000+MINOR.MICRO.
var libvirtLibrary = regexp.MustCompile(`^libvirt\.so\.0\.(\d{4,6})\.(\d{1,3})$`)

// dpkg gives the versions of installed packages that concern us.
func (c *collector) dpkg() map[string]string {
	out := map[string]string{}
	text, err := c.peek("/var/lib/dpkg/status")
	if err != nil {
		return out
	}
	for paragraph := range bytes.SplitSeq(text, []byte("\n\n")) {
		name, _, _ := bytes.Cut(bytes.TrimPrefix(paragraph, []byte("Package: ")), []byte("\n"))
		switch n := string(name); n {
		case "libvirt-daemon", "libvirt0", "libvirt-clients", "libgnutls30", "libgnutls30t64":
			if !bytes.Contains(paragraph, []byte("\nStatus: install ok installed")) && !bytes.Contains(paragraph, []byte("\nStatus: hold ok installed")) {
				continue
			}
			if _, v, ok := bytes.Cut(paragraph, []byte("\nVersion: ")); ok {
				v, _, _ = bytes.Cut(v, []byte("\n"))
				if _, after, ok := bytes.Cut(v, []byte(":")); ok {
					v = after // an epoch
				}
				out[n] = string(v)
			}
		}
	}
	return out
}
