"""Give the entries of an archive paths that lead out of it, links, bombs and twins.

Whoever unpacks what a student packed writes where the student likes, or fills the disk.
"""

import io
import json
import stat
import zipfile

NUMBER = "105"
WANTS = "host"
STOCK = "not run: nbgrader grades no archives (nbgrader 0.9.6)"
ARCHIVE = True


def submit(archive, work, marker):
    text = json.dumps(work)
    for name in (
        f"../{marker}.ipynb",
        f"../../../../tmp/{marker}.ipynb",
        f"/tmp/{marker}.ipynb",
        f"mallory/../../{marker}.ipynb",
        f"C:\\{marker}.ipynb",
        f"mallory\\..\\..\\{marker}.ipynb",
        f"mallory/./../alice/{marker}.ipynb",
        f"//host/{marker}.ipynb",
    ):
        archive.writestr(zipfile.ZipInfo(name), text)
    for mode, target in ((stat.S_IFLNK, "/etc/passwd"), (stat.S_IFIFO, ""), (stat.S_IFCHR, "")):
        info = zipfile.ZipInfo(f"mallory/{marker}{mode}.ipynb")
        info.external_attr = (mode | 0o777) << 16
        archive.writestr(info, target)
    link = zipfile.ZipInfo("mallory/target/")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    archive.writestr(link, "/tmp")
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as inner:
        inner.writestr("target.ipynb", bytes(2**24))
    archive.writestr("mallory/inner.zip", bomb.getvalue())
    archive.writestr("mallory/zeros.ipynb", bytes(2**25), zipfile.ZIP_DEFLATED)
    archive.writestr("mallory/target.ipynb", text)
