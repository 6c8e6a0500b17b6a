// Package layout knows where libvirt and QEMU look for credential files, and with which owner and mode they belong there.
//
// A [Place] is one such location: [Libvirt]'s /etc/pki, a user's ~/.pki/libvirt ([User]), a flat pkipath directory
// ([PkiPath]) or one of QEMU's directories. [Place.Items] lists what belongs there, directories included; [Place.Paths]
// names the files of one role; [Place.Fill] joins items with contents, ready for [Write] or for a staged tree;
// [Audit] judges what lies there. [Spots] finds the layouts that are there, and [KeepBeside] keeps what is to be replaced.
// Everything works below any root directory, so that neither tests nor the preparing of trees for other machines need root.
//
// Names and modes are those of libvirt 9.0.0 to 12.8.0 (virNetTLSContextLocateCredentials, virNetTLSConfig*), of its
// virt-pki-validate since 10.5.0, which compares modes exactly, and of QEMU's tls-creds-x509. libvirt itself looks at
// no mode at all. The package reads no certificates; see package verify for what is inside the files.
package layout
