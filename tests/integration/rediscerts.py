"""rediscerts.py: certificates made for a run, and Redis servers that speak TLS
with them."""

import os
import shutil
import subprocess
import tempfile

from redisserver import Cluster, Redis, free_port
from wsclient import Fail

EC = ('-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes')


def openssl(*words, stdin=b''):
    made = subprocess.run(['openssl', *words], input=stdin,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if made.returncode:
        raise Fail('openssl: ' + made.stdout[-400:].decode())


class Authority:
    """A certificate authority in a directory of its own."""

    def __init__(self):
        self.directory = tempfile.mkdtemp(prefix='wsh-ca-')
        self.ca, key = self.path('ca.pem'), self.path('ca.key')
        openssl('req', '-x509', *EC, '-days', '2', '-subj', '/CN=test authority',
                '-keyout', key, '-out', self.ca)

    def path(self, name):
        return os.path.join(self.directory, name)

    def sign(self, name, *alternatives):
        """A certificate; (its file, its key's file)."""
        cert, key = self.path(name + '.pem'), self.path(name + '.key')
        request, more = self.path('request'), self.path('more')
        openssl('req', *EC, '-subj', '/CN=' + name, '-keyout', key, '-out',
                request)
        with open(more, 'w') as f:
            f.write('subjectAltName=' + ','.join(alternatives or
                                                 ['DNS:' + name]))
        openssl('x509', '-req', '-in', request, '-CA', self.ca, '-CAkey',
                self.path('ca.key'), '-CAcreateserial', '-days', '2', '-extfile',
                more, '-out', cert)
        return cert, key

    def close(self):
        shutil.rmtree(self.directory, ignore_errors=True)


class TlsRedis(Redis):
    """It takes TLS on a port of its own; self.port is plain, for the test."""

    def __init__(self, authority, names=('IP:127.0.0.1',), **options):
        cert, key = authority.sign('server', *names)
        self.tls_port = free_port()
        super().__init__(tls_port=self.tls_port, tls_cert_file=cert,
                         tls_key_file=key, tls_ca_cert_file=authority.ca,
                         **options)

    def plain_url(self):
        return super().url()

    def url(self, password=None):
        return super().url(password).replace('redis:', 'rediss:').replace(
            ':%d' % self.port, ':%d' % self.tls_port)


class TlsCluster(Cluster):
    """Masters that speak TLS with each other as well."""

    def __init__(self, authority, masters=3):
        self.authority = authority
        self.client = authority.sign('joiner')
        self.nodes = []
        try:
            for _ in range(masters):
                self.nodes.append(TlsRedis(authority, cluster_enabled='yes',
                                           tls_cluster='yes',
                                           tls_replication='yes'))
            self._join(0)
        except BaseException:
            self.close()
            raise

    def _address(self, node):
        return '127.0.0.1:%d' % node.tls_port

    def _command(self):
        return super()._command() + ['--tls', '--cacert', self.authority.ca,
                                     '--cert', self.client[0],
                                     '--key', self.client[1]]
