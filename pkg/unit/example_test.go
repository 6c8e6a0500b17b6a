package unit_test

import (
	"fmt"
	"testing/fstest"

	"github.com/virt-pki/virt-pki/pkg/unit"
)

func ExampleTree_Survey() {
	machine := fstest.MapFS{
		"usr/lib/systemd/system/libvirtd.service": {Data: []byte("[Unit]\nWants=libvirtd.socket\n[Service]\nEnvironmentFile=-/etc/default/libvirtd\n" +
			"ExecStart=/usr/sbin/libvirtd $LIBVIRTD_ARGS\n[Install]\nWantedBy=multi-user.target\n")},
		"usr/lib/systemd/system/libvirtd.socket": {Data: []byte("[Socket]\nListenStream=/run/libvirt/libvirt-sock\n")},
		"etc/default/libvirtd":                   {Data: []byte("LIBVIRTD_ARGS=\"--listen\"\n")},
	}
	s := unit.New(machine).Survey(nil)
	d := s.Remote()
	fmt.Println(d.Name, d.Arguments.Listen, d.Passed()[0].Name)
	for _, f := range s.Findings(d, nil) {
		fmt.Println(f.Rule, f.Subject)
	}
	// Output:
	// libvirtd true libvirtd.socket
	// listen-with-sockets /etc/default/libvirtd:1
	// daemon-not-started /usr/lib/systemd/system/libvirtd.service
}
