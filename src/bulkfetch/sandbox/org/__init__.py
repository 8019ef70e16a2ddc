"""The CRM behind the calls: modules with typed fields, their records, and what a query finds.

Records are numbered from 0 in each module and made from the seed by column and block, so that a
module of a million costs nothing until it is read. What changes while the server runs lies over
them. Nothing here knows of requests, accounts or jobs; time is passed in.
"""
