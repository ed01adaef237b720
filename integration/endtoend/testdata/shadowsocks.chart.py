# -*- coding: utf-8 -*-
# A module for Netdata's python.d.plugin, in the manner of those that were
# written for the CSV of the blog's script: port, packets in and out, bytes in
# and out, each per second. Its ports are listed here, as they were there.

import csv

from bases.FrameworkServices.SimpleService import SimpleService

PORTS = ['20000']

ORDER = []
CHARTS = {}
for port in PORTS:
    for what, units, divisor in (('bytes', 'kilobytes/s', 1000), ('packets', 'packets/s', 1)):
        chart = '{}_{}'.format(port, what)
        ORDER.append(chart)
        CHARTS[chart] = {
            'options': [None, 'Port {} {}'.format(port, what), units, port, 'shadowsocks.' + what, 'area'],
            'lines': [
                ['{}_in'.format(chart), 'in', 'absolute', 1, divisor],
                ['{}_out'.format(chart), 'out', 'absolute', -1, divisor],
            ],
        }


class Service(SimpleService):
    def __init__(self, configuration=None, name=None):
        SimpleService.__init__(self, configuration=configuration, name=name)
        self.order = ORDER
        self.definitions = CHARTS
        self.path = self.configuration['csv']

    def check(self):
        return bool(self.get_data())

    def get_data(self):
        data = {}
        with open(self.path) as file:
            for port, packets_in, packets_out, bytes_in, bytes_out in csv.reader(file):
                data[port + '_packets_in'] = float(packets_in)
                data[port + '_packets_out'] = float(packets_out)
                data[port + '_bytes_in'] = float(bytes_in)
                data[port + '_bytes_out'] = float(bytes_out)
        return data
