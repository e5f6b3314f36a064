"""git's own messages in the languages that git speaks, and how a line is matched against them.

What git prints is a template of its message catalogue with the blanks filled in, so matching is by template: literal
text around blanks, compared from both ends. No regular expression, nothing to compile, linear on any line.
From the catalogues of git 2.39; `To URL`, `Fast-forward` and `Merge made by` are not translated there.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache

TEMPLATES: Mapping[str, tuple[str, ...]] = {
    "new_branch": (
        "Switched to a new branch '%s'", "Преминахте към новия клон „%s“", "S'ha canviat a la branca nova «%s»",
        "Zu neuem Branch '%s' gewechselt", "Αλλαγή σε νέο κλάδο '%s'", "Cambiado a nueva rama '%s'",
        "Basculement sur la nouvelle branche '%s'", "Ganti ke cabang baru '%s'",
        "Si è passati a un nuovo branch '%s'", "새로 만든 '%s' 브랜치로 전환합니다", "Przełączono na nową gałąź „%s”",
        "Trocou para um novo ramo '%s'", "Переключились на новую ветку «%s»", 'Växlade till en ny gren "%s"',
        "Yeni '%s' dalına geçildi.", "Đã chuyển đến nhánh mới “%s”", "切换到一个新分支 '%s'", "切換到一個新分支 '%s'",
    ),
    "reset_branch": (
        "Switched to and reset branch '%s'", "Преминаване към клона „%s“ и зануляване на промѐните",
        "S'ha canviat i restablert a la branca «%s»", "Zu umgesetztem Branch '%s' gewechselt",
        "Αλλαγή και επαναφορά στον κλάδο '%s'", "Rama reiniciada y cambiada a '%s'",
        "Basculement et remise à zéro de la branche '%s'", "Ganti ke dan ganti cabang '%s'",
        "Si è passati al branch '%s' e lo si è reimpostato", "'%s' 브랜치로 전환하고 리셋합니다",
        "Przełączono na gałąź „%s” i zresetowano ją", "Trocou para e restabeleceu o ramo '%s'",
        "Переключение и сброс ветки «%s»", 'Växlade till och nollställde grenen "%s"',
        "'%s' dalına geçildi ve sıfırlandı.", "Đã chuyển tới và đặt lại nhánh “%s”", "切换并重置分支 '%s'",
        "切換並重設分支 '%s'",
    ),
    "switched": (
        "Switched to branch '%s'", "Преминахте към клона „%s“", "S'ha canviat a la branca «%s»",
        "Zu Branch '%s' gewechselt", "Αλλαγή στον κλάδο '%s'", "Cambiado a rama '%s'",
        "Basculement sur la branche '%s'", "Ganti ke cabang '%s'", "Si è passati al branch '%s'",
        "'%s' 브랜치로 전환합니다", "Przełączono na gałąź „%s”", "Trocou para o ramo '%s'",
        "Переключились на ветку «%s»", 'Växlade till grenen "%s"', "'%s' dalına geçildi.", "Đã chuyển đến nhánh “%s”",
        "切换到分支 '%s'", "切換到分支 '%s'",
    ),
    "previous_head": (
        "Previous HEAD position was %s", "Преди това „HEAD“ сочеше към %s", "La posició de HEAD anterior era %s",
        "Vorherige Position von HEAD war %s", "Η προηγούμενη θέση του HEAD ήταν %s",
        "La posición previa de HEAD era %s", "La position précédente de HEAD était sur %s",
        "Posisi HEAD sebelumnya adalah %s", "La precedente posizione di HEAD era %s", "이전 HEAD 위치는 %s",
        "Poprzednim wskazaniem HEAD było %s", "A posição anterior de HEAD era %s", "Предыдущая позиция HEAD была %s",
        "Tidigare position för HEAD var %s", "Önceki HEAD konumu şuydu: %s", "Vị trí trước kia của HEAD là %s",
        "之前的 HEAD 位置是 %s",
    ),
    "now_at": (
        "HEAD is now at %s", "Указателят „HEAD“ в момента сочи към %s", "HEAD ara és a %s", "HEAD ist jetzt bei %s",
        "Το HEAD βρίσκεται τώρα στο %s", "HEAD está ahora en %s", "HEAD est maintenant sur %s",
        "HEAD sekarang berada di %s", "HEAD si trova ora a %s", "HEAD의 현재 위치는 %s", "HEAD wskazuje teraz na %s",
        "HEAD está agora em %s", "HEAD сейчас на %s", "HEAD är nu på %s", "HEAD konumu: %s", "HEAD hiện giờ tại %s",
        "HEAD 目前位于 %s", "HEAD 目前位於 %s", "Указателят „HEAD“ сочи към „%s“", "Το HEAD τώρα βρίσκεται στο %s",
        "HEAD est maintenant à %s", "HEAD sekarang pada %s", "HEAD ora si trova a %s", "HEAD의 현재 위치는 %s입니다",
        "HEAD wskazuje teraz %s", "Указатель HEAD сейчас на коммите %s", "HEAD şimdi şurada: %s", "HEAD 现在位于 %s",
        "HEAD 現在位於 %s",
    ),
    "detaching": (
        "Note: switching to '%s'.", "Бележка: преминаване към „%s“.", "Avís: s'està canviant a «%s».",
        "Hinweis: Wechsle zu '%s'.", "Nota: cambiando a '%s'.", "Note : basculement sur '%s'.",
        "Catatan: berganti ke '%s'.", "Nota: eseguo il checkout di '%s'.", "Uwaga: przełączanie na „%s”.",
        "Nota: trocando para '%s'.", "Примечание: переключение на «%s».", 'Observera: checkar ut "%s".',
        "Not: Şuraya geçiliyor: '%s'.", "Chú ý: đang chuyển sang “%s”.", "注意：正在切换到 '%s'。",
        "註：切換至 “%s”。",
    ),
    "squashed": (
        "Squash commit -- not updating HEAD", "Вкарано подаване — указателят „HEAD“ няма да бъде обновен",
        "Comissió «squash» -- no s'està actualitzant HEAD", "Squash Commit -- HEAD wird nicht aktualisiert",
        "Commit de aplastamiento -- no actualizando HEAD", "Validation compressée -- HEAD non mise à jour",
        "Lumat komit -- tak perbarui HEAD", "Commit di squash -- non aggiorno HEAD",
        "커밋 합치기 -- HEAD를 업데이트하지 않습니다", "Spłaszczony zapis — nie aktualizowanie HEAD",
        "Esmagar memória -- deixando HEAD por atualizar", "Уплотнение коммита — не обновляя HEAD",
        "Tillplattningsincheckning -- uppdaterar inte HEAD", "Tıkıştırma işlemesi -- HEAD güncellenmiyor",
        "Squash commit -- không cập nhật HEAD", "挤压提交 -- 未更新 HEAD", "壓縮提交 -- 未更新 HEAD",
    ),
    "stopped": (
        "Automatic merge went well; stopped before committing as requested",
        "Автоматичното сливане завърши успешно.  Самото подаване не е извършено",
        "La fusió automàtica ha sortit bé; s'ha aturat abans de cometre com s'havia demanat",
        "Automatischer Merge abgeschlossen; halte, wie gewünscht, vor dem Commit an",
        "Fusión automática fue bien; detenida antes del commit como se solicitó",
        "La fusion automatique a réussi ; stoppée avant la validation comme demandé",
        "Penggabungan otomatis berjalan baik; berhenti sebelum mengkomit seperti yang diminta",
        "Il merge automatico è andato a buon fine; fermato prima del commit come richiesto",
        "자동 병합이 잘 진행되었습니다. 요청한대로 커밋 전에 중지합니다",
        "Automatyczne scalanie powiodło się; zatrzymano przez złożeniem, jak polecono",
        "Junção automática correu bem; parei antes de memorizar, como pedido",
        "Автоматическое слияние прошло успешно; как и запрашивали, остановлено перед выполнением коммита",
        "Automatisk sammanslagning lyckades; stoppar före incheckning som önskat",
        "Otomatik birleştirme iyi geçti; istendiği üzere gönderme öncesinde durdu.",
        "Hòa trộn tự động đã trở nên tốt; bị dừng trước khi việc chuyển giao được yêu cầu",
        "自动合并进展顺利，按要求在提交前停止", "自動合併進展順利，按要求在提交前停止",
    ),
    "merge_failed": (
        "Automatic merge failed; fix conflicts and then commit the result.",
        "Неуспешно автоматично сливане — коригирайте конфликтите и подайте резултата.",
        "La fusió automàtica ha fallat; arregleu els conflictes i després cometeu el resultat.",
        "Automatischer Merge fehlgeschlagen; beheben Sie die Konflikte und committen Sie dann das Ergebnis.",
        "Fusión automática falló; arregle los conflictos y luego realice un commit con el resultado.",
        "La fusion automatique a échoué ; réglez les conflits et validez le résultat.",
        "Penggabungan otomatis gagal; selesaikan konflik lalu komit hasilnya.",
        "Merge automatico fallito; risolvi i conflitti ed esegui il commit",
        "자동 병합이 실패했습니다. 충돌을 바로잡고 결과물을 커밋하십시오.",
        "Automatyczne scalanie nie powiodło się; napraw konflikty i złóż wynik.",
        "Junção automática falhou; conserta os conflitos e depois podes memorizar",
        "Сбой автоматического слияния; исправьте конфликты, затем зафиксируйте результат.",
        "Kunde inte slå ihop automatiskt; fixa konflikter och checka in resultatet.",
        "Otomatik birleştirme başarısız; çakışmaları çözün ve sonucu işleyin.",
        "Việc tự động hòa trộn gặp lỗi; hãy sửa các xung đột sau đó chuyển giao kết quả.",
        "自动合并失败，修正冲突然后提交修正的结果。", "自動合併失敗，修正衝突然後提交修正的結果。",
    ),
    "up_to_date": (
        "Already up to date.", "Вече е обновено.", "Ja està al dia.", "Bereits aktuell.", "Ήδη πλήρως ενήμερο.",
        "Ya está actualizado.", "Déjà à jour.", "Sudah terbaru.", "Già aggiornato.", "이미 업데이트 상태입니다.",
        "Już aktualne.", "Já está atualizado.", "Уже актуально.", "Redan à jour.", "Tümü güncel.", "Đã cập nhật rồi.",
        "已经是最新的。", "已經是最新的。",
    ),
    "branch_up_to_date": (
        "Current branch %s is up to date.", "Текущият клон „%s“ е напълно актуален.",
        "La branca actual %s està al dia.", "Aktueller Branch %s ist auf dem neuesten Stand.",
        "La rama actual %s está actualizada.", "La branche courante %s est à jour.", "Cabang saat ini %s terbaru.",
        "Il branch corrente %s è aggiornato.", "Obecna gałąź %s jest aktualna.", "Ramo atual %s está atualizado.",
        "Текущая ветка %s уже в актуальном состоянии.", "Aktuell gren %s är à jour.", "Geçerli dal %s güncel.",
        "Nhánh hiện tại %s đã được cập nhật rồi.", "当前分支 %s 是最新的。", "目前分支 %s 是最新的。",
    ),
    "deleted_branch": (
        "Deleted branch %s (was %s).", "Изтрит клон „%s“ (той сочеше към „%s“).",
        "S'ha suprimit la branca %s (era %s).", "Branch %s entfernt (war %s).", "Eliminada la rama %s (era %s).",
        "Branche %s supprimée (précédemment %s).", "Cabang %s (yaitu %s) dihapus.", "Branch %s eliminato (era %s).",
        "%s 브랜치 삭제 (과거 %s).", "Usunięto gałąź %s (wskazywała %s).", "Ramo %s eliminado (era %s).",
        "Ветка %s удалена (была %s).", "Tog bort grenen %s (var %s).", "%s dalı silindi (%s idi).",
        "Nhánh “%s” đã bị xóa (từng là %s)", "已删除分支 %s（曾为 %s）。", "已刪除分支 %s（曾為 %s）。",
    ),
    "deleted_remote": (
        "Deleted remote-tracking branch %s (was %s).", "Изтрит следящ клон „%s“ (той сочеше към „%s“).",
        "S'ha suprimit la branca amb seguiment remot %s (era %s).", "Remote-Tracking-Branch %s entfernt (war %s).",
        "Eliminada la rama de rastreo remota %s (era %s).", "Branche de suivi %s supprimée (précédemment %s).",
        "Cabang pelacak remote %s (yaitu %s) dihapus.", "Branch remoto tracciato %s eliminato (era %s).",
        "리모트 추적 '%s' 브랜치를 삭제합니다. (과거 %s)", "Usunięto gałąź śledzącą %s (wskazywała %s).",
        "Ramo de monitorização remoto %s eliminado (era %s).", "Внешняя отслеживаемая ветка %s удалена (была %s).",
        "Tog bort fjärrspårande grenen %s (var %s).", "Uzak izleme dalı %s silindi (%s idi).",
        'Đã xóa nhánh theo dõi máy chủ "%s" (từng là %s).', "已删除远程跟踪分支 %s（曾为 %s）。",
        "已刪除遠端追蹤分支 %s（曾為 %s）。",
    ),
    "deleted_tag": (
        "Deleted tag '%s' (was %s)", "Изтрит е етикетът „%s“ (бе „%s“)", "S'ha suprimit l'etiqueta «%s» (era %s)",
        "Tag '%s' gelöscht (war %s)", "Etiqueta '%s' eliminada (era %s)",
        "Étiquette '%s' supprimée (elle était sur %s)", "Tag '%s' (yaitu %s) dihapus", "Tag '%s' eliminato (era %s)",
        "'%s' 태그 삭제함 (과거 %s)", "Usunięto tag „%s” (wskazywał %s)", "Apaguei etiqueta '%s' (era %s)",
        "Метка «%s» удалена (была %s)", 'Tog bort tagg "%s" (var %s)', "'%s' etiketi silindi (%s idi)",
        "Thẻ đã bị xóa “%s” (từng là %s)", "已删除标签 '%s'（曾为 %s）", "已刪除標籤 '%s'（曾為 %s）",
    ),
    "updated_tag": (
        "Updated tag '%s' (was %s)", "Обновен етикет „%s“ (бе „%s“)", "Etiqueta «%s» actualitzada (era %s)",
        "Tag '%s' aktualisiert (war %s)", "Etiqueta '%s' actualizada (era %s)",
        "Étiquette '%s' mise à jour (elle était sur %s)", "Tag '%s' diperbarui (yaitu %s)",
        "Tag '%s' aggiornato (era %s)", "태그 '%s' 업데이트 (과거 %s)", "Zaktualizowano tag „%s” (wskazywał %s)",
        "Atualizei etiqueta '%s' (era %s)", "Метка «%s» обновлена (была %s)", 'Uppdaterad tagg "%s" (var %s)',
        "'%s' etiketi güncellendi (%s idi)", "Đã cập nhật thẻ “%s” (trước là %s)", "已更新标签 '%s'（曾为 %s）",
        "已更新標籤 '%s'（曾為 %s）",
    ),
    "rebased": (
        "Successfully rebased and updated %s.", "Успешно пребазиране и обновяване на „%s“.",
        "S'ha fet «rebase» i actualitzat %s amb èxit.", "Erfolgreich Rebase ausgeführt und %s aktualisiert.",
        "Rebase aplicado satisfactoriamente y actualizado %s.", "Rebasage et mise à jour de %s avec succès.",
        "%s didasarkan ulang dan diperbarui dengan sukses.", "Rebase e aggiornamento di %s eseguiti con successo.",
        "Pomyślnie przestawiono i zaktualizowano %s.", "O %s foi rebaseado e atualizado com sucesso.",
        "Успешно перемещён и обновлён %s.", "Lyckades ombasera och uppdatera %s.",
        "%s başarıyla yeniden temellendirildi ve güncellendi.", "Cài tổ và cập nhật %s một cách thành công.",
        "成功变基并更新 %s。", "成功重定基底並更新 %s。",
    ),
    "forwarded": (
        "Fast-forwarded %s to %s.", "Превъртане на „%s“ към „%s“.", "Avanç ràpid %s a %s.", "Spule %s vor zu %s.",
        "Avance rápido de %s a %s.", "Avance rapide de %s sur %s.", "Maju-cepat %s ke %s.",
        "Fast forward da %s a %s eseguito.", "Przewinięto %s do %s.", "Avancei %s para %s.",
        "Быстрая перемотка %s до %s.", "Snabbspolade %s till %s.", "%s, %s konumuna ileri sarıldı.",
        "Chuyển-tiếp-nhanh %s đến %s.", "快进 %s 到 %s。", "快轉 %s 到 %s。",
    ),
    "saved": (
        "Saved working directory and index state %s",
        "Състоянието на работната директория и индекса e запазено: „%s“",
        "S'han desat el directori de treball i l'estat d'índex %s",
        "Arbeitsverzeichnis und Index-Status %s gespeichert.",
        "Directorio de trabajo y estado de índice %s guardados",
        "Arbre de travail et état de l'index sauvegardés dans %s", "Direktori kerja dan keadaan indeks %s disimpan",
        "Directory di lavoro e stato indice salvati: %s", "Zapisano katalog roboczy i stan indeksu %s",
        "Pasta-trabalho e estado de cenário %s guardados", "Рабочий каталог и состояние индекса сохранены %s",
        "Sparade arbetskatalogen och indexstatus %s", "Çalışma dizini ve indeks durumu %s kaydedildi",
        "Đã ghi lại thư mục làm việc và trạng thái mục lục %s", "保存工作目录和索引状态 %s",
        "儲存工作目錄和索引狀態 %s",
    ),
    "dropped": (
        "Dropped %s (%s)", "Изтрито: „%s“ (%s)", "Descartada %s (%s)", "%s (%s) gelöscht", "Descartado %s (%s)",
        "%s supprimé (%s)", "%s (%s) dijatuhkan", "Ho scartato %s (%s)", "Porzucono %s (%s)", "Descartei %s (%s)",
        "Отброшено %s (%s)", "Kastade %s (%s)", "%s bırakıldı (%s)", "Đã xóa %s (%s)", "丢弃了 %s（%s）",
        "捨棄了 %s（%s）",
    ),
    "cloning": (
        "Cloning into '%s'...", "Клониране и създаване на хранилище в „%s“…", "S'està clonant a «%s»...",
        "Klone nach '%s'...", "Γίνεται κλωνοποίηση μέσα στο '%s'...", "Clonando en '%s'...", "Clonage dans '%s'...",
        "Kloning ke '%s'...", "Clone in '%s' in corso...", "'%s'에 복제합니다...", "Klonowanie do „%s”...",
        "Clonando para '%s'...", "Клонирование в «%s»...", 'Klonar till "%s"...', "Klonlama konumu: '%s'...",
        "Đang nhân bản thành “%s”…", "正克隆到 '%s'...", "正複製到 '%s'...",
    ),
    "cloning_bare": (
        "Cloning into bare repository '%s'...", "Клониране и създаване на голо хранилище в „%s“…",
        "S'està clonant al repositori nu «%s»...", "Klone in Bare-Repository '%s' ...",
        "Γίνεται κλωνοποίηση μέσα στο γυμνό αποθετήριο '%s'...", "Clonando en un repositorio vacío '%s'...",
        "Clonage dans le dépôt nu '%s'", "Kloning ke repositori bare '%s'...",
        "Clone nel repository spoglio '%s' in corso...", "간략한 저장소로('%s') 복제합니다...",
        "Klonowanie do suchego repozytorium „%s”...", "Clonando para repositório nu '%s'...",
        "Клонирование в голый репозиторий «%s»...", 'Klonar till ett naket arkiv "%s"...',
        "'%s' çıplak deposuna klonlanıyor...", "Đang nhân bản thành kho chứa bare “%s”…", "克隆到纯仓库 '%s'...",
        "複製到純版本庫 '%s'...",
    ),
    "submodule": (
        "Submodule '%s' (%s) registered for path '%s'", "Регистриран е подмодул „%s“ (%s) за пътя към подмодул „%s“",
        "S'ha registrat el submòdul «%s» (%s) per al camí «%s»",
        "Submodul '%s' (%s) für Pfad '%s' in die Konfiguration eingetragen.",
        "Submódulo '%s' (%s) registrado para ruta '%s'", "Sous-module '%s' (%s) enregistré pour le chemin '%s'",
        "Submodul '%s' (%s) didaftarkan untuk jalur '%s'", "Sottomodulo '%s' (%s) registrato per il percorso '%s'",
        "'%s' 경로에 대해 '%s' (%s) 하위 모듈 등록", "Zarejestrowano podmoduł „%s” (%s) w „%s”",
        "Submódulo '%s' (%s) registado para path '%s'",
        "Подмодуль «%s» (%s) зарегистрирован по пути «%s»", 'Undermodulen "%s" (%s) registrerad för sökvägen "%s"',
        "'%s' altmodülü (%s), '%s' yoluna kaydı yapıldı", "Mô-đun-con “%s” (%s) được đăng ký cho đường dẫn “%s”",
        "子模组 '%s'（%s）已对路径 '%s' 注册", "子模組 '%s'（%s）已對路徑 '%s' 註冊",
    ),
    "unstaged": (
        "Unstaged changes after reset:", "Промѐни извън индекса след зануляването:",
        "Canvis «unstaged» després del restabliment:", "Nicht zum Commit vorgemerkte Änderungen nach Zurücksetzung:",
        "Μη προετοιμασμένες αλλαγές μετά την επαναφορά:", "Cambios fuera del área de stage tras el reset:",
        "Modifications non indexées après reset :", "Perubahan tak tergelar setelah setel ulang:",
        "Modifiche non nell'area di staging dopo il reset:", "리셋 뒤에 스테이징하지 않은 변경 사항:",
        "Nieprzygotowane zmiany po resecie:", "Alterações desencenadas depois do restabelecimento:",
        "Непроиндексированные изменения после сброса:", "Oköade ändringar efter återställning:",
        "Sıfırlama sonrasında hazırlanmamış değişiklikler:",
        "Những thay đổi được đưa ra khỏi bệ phóng sau khi reset:", "重置后取消暂存的变更：", "重設後取消暫存的變更：",
    ),
    "new_worktree": (
        "Preparing worktree (new branch '%s')", "Приготвяне на работното дърво (нов клон „%s“)",
        "S'està preparant l'arbre de treball (branca nova «%s»)",
        "Bereite Arbeitsverzeichnis vor (neuer Branch '%s')", "Preparando árbol de trabajo (nueva rama '%s')",
        "Préparation de l'arbre de travail (nouvelle branche '%s')", "Menyiapkan pohon kerja (cabang baru '%s')",
        "Preparazione dell'albero di lavoro in corso (nuovo branch '%s')", "작업 트리 준비 중 (새 브랜치 '%s')",
        "Przygotowywanie drzewa roboczego (nowa gałąź „%s”)", "Preparando árvore-trabalho (novo ramo '%s')",
        'Förbereder arbetskatalog (ny gren "%s")', "Çalışma ağacı hazırlanıyor (yeni dal '%s')",
        "Đang chuẩn bị cây làm việc (nhánh mới “%s”)", "准备工作区（新分支 '%s'）", "準備工作區（新分支 '%s'）",
    ),
    "worktree": (
        "Preparing worktree (checking out '%s')", "Приготвяне на работното дърво (изтегляне на „%s“)",
        "S'està preparant l'arbre de treball (s'està agafant «%s»)",
        "Bereite Arbeitsverzeichnis vor (checke '%s' aus)", "Preparando árbol de trabajo (haciendo checkout a '%s')",
        "Préparation de l'arbre de travail (extraction de '%s')", "Menyiapkan pohon kerja (men-checkout '%s')",
        "Preparazione dell'albero di lavoro in corso (checkout di '%s')", "작업 트리 준비 중 ('%s' 가져오는 중)",
        "Przygotowywanie drzewa roboczego (wybieranie „%s”)", "Preparando árvore-trabalho (observando '%s')",
        'Förbereder arbetskatalog (checkar ut "%s")', "Çalışma ağacı hazırlanıyor ('%s' çıkış yapılıyor)",
        "Đang chuẩn bị cây làm việc (đang lấy ra “%s”)", "准备工作区（检出 '%s'）", "準備工作區（簽出 '%s'）",
    ),
    "worktree_detached": (
        "Preparing worktree (detached HEAD %s)", "Подготвяне на работно дърво (указателят „HEAD“ не свързан: %s)",
        "S'està preparant l'arbre de treball (HEAD %s separat)", "Bereite Arbeitsverzeichnis vor (losgelöster HEAD %s)",
        "Preparando árbol de trabajo (HEAD desacoplado %s)", "Préparation de l'arbre de travail (HEAD détachée %s)",
        "Menyiapkan pohon kerja (HEAD terpisah %s)", "Preparazione dell'albero di lavoro in corso (HEAD scollegato %s)",
        "작업 트리 준비 중 (분리된 HEAD %s)", "Przygotowywanie drzewa roboczego (oddzielone HEAD %s)",
        "Preparando árvore-trabalho (HEAD desanexada %s)", "Готовится рабочая копия (отсоединённый указатель HEAD %s)",
        "Förbereder arbetskatalog (frånkopplat HEAD %s)", "Çalışma ağacı hazırlanıyor (ayrık HEAD %s)",
        "Đang chuẩn bị cây làm việc (HEAD đã tách rời “%s”)", "准备工作区（分离头指针 %s）",
        "準備工作區（分離開頭指標 %s）",
    ),
    "worktree_reset": (
        "Preparing worktree (resetting branch '%s'; was at %s)",
        "Приготвяне на работното дърво (зануляване на клона „%s“, който сочеше към „%s“)",
        "S'està preparant l'arbre de treball (s'està reiniciant la branca «%s»; estava a %s)",
        "Bereite Arbeitsverzeichnis vor (setze Branch '%s' um; war bei %s)",
        "Preparando árbol de trabajo (reiniciando rama '%s'; estaba en %s)",
        "Préparation de l'arbre de travail (réinitialisation de la branche '%s' ; précédemment sur %s)",
        "Menyiapkan pohon kerja (menyetel ulang cabang '%s'; sebelumnya pada %s)",
        "Preparazione dell'albero di lavoro in corso (reimposto il branch '%s'; era a %s)",
        "작업 트리 준비 중 ('%s' 브랜치 재설정 중. 원래 위치 %s)",
        "Przygotowywanie drzewa roboczego (resetowanie gałęzi „%s”; była na %s)",
        "Preparando árvore-trabalho (restabelecendo ramo '%s'; estava em %s)",
        'Förbereder arbetskatalog (återställer gren "%s"; var på %s)',
        "Çalışma ağacı hazırlanıyor ('%s' dalı sıfırlanıyor; %s konumundaydı)",
        "Đang chuẩn bị cây làm việc (đang cài đặt nhánh “%s”, trước đây tại %s)",
        "准备工作区（重置分支 '%s'，之前为 %s）",
        "準備工作區（重設分支 '%s'，之前為 %s）",
    ),
    "rewinding": (
        "First, rewinding head to replay your work on top of it...",
        "Първо, указателят „HEAD“ започва да сочи към базата, върху която пребазирате…",
        "Primer, s'està rebobinant HEAD per a reproduir el vostre treball al damunt...",
        "Zunächst wird der Branch zurückgespult, um Ihre Änderungen darauf neu anzuwenden...",
        "Πρώτα, γίνεται γύρισμα προς τα πίσω του head για να γίνει επανάληψη της δουλειάς σας πάνω σε αυτό...",
        "En primer lugar, rebobinando HEAD para después reproducir tus cambios encima de esta...",
        "Rembobinage préalable de head pour pouvoir rejouer votre travail par-dessus...",
        "Pertama, memutar ulang kepala untuk memainkan ulang karya Anda diatasnya...",
        "Per prima cosa, ripristino l'head per riapplicare le tue modifiche su di esso...",
        "Najpierw cofanie czoła gałęzi, aby odtworzyć na nim pracę...",
        "Primeiro, rebobinar cabeça para refazer o teu trabalho em cima dela...",
        "Först, spolar tillbaka huvudet för att spela av ditt arbete ovanpå det...",
        "Öncelikle dal ucu üzerindeki çalışmanızı yeniden oynatmak için geri sarılıyor...",
        "Trước tiên, di chuyển head để xem lại các công việc trên đỉnh của nó…",
        "首先，回退头指针以便在其上重放您的工作...",
        "首先，還原開頭指標以便在其上重放您的工作...",
    ),
    "fatal": (
        "fatal: %s", "фатална грешка: %s", "Schwerwiegend: %s", "fatal : %s", "ödesdigert: %s", "onulmaz: %s",
        "致命错误：%s", "致命錯誤: %s",
    ),
    "error": (
        "error: %s", "грешка: %s", "Fehler: %s", "erreur : %s", "kesalahan: %s", "fel: %s", "hata: %s", "错误：%s",
        "錯誤: %s",
    ),
    "from_url": (
        "From %s", "От %s", "De %s", "Von %s", "Από το %s", "Desde %s", "Depuis %s", "Dari %s", "Da %s", "%s URL에서",
        "Z %s", "Из %s", "Från %s", "Şu konumdan: %s", "Từ %s", "来自 %s", "來自 %s",
    ),
}  # fmt: skip

_BLANK = 400  # characters that one blank may take: paths and URLs
_NEEDLE = 14  # bytes: enough to be rare, and few states for the scan
_NOT_NEEDLES = frozenset({"fatal", "error", "from_url", "branch_up_to_date", "dropped", "stopped"})


def read(text: str) -> tuple[str, tuple[str, ...]] | None:
    """The message that `text` is, as its name in TEMPLATES and what stands in its blanks."""
    index = _index()
    begun = index.begin.get(text[:2]) or index.begin.get(text[:1]) or _NONE
    for group in (begun, index.end.get(text[-1:], _NONE)):
        for name, parts in group:
            if text.startswith(parts[0]) and text.endswith(parts[-1]):
                blanks = _fill(parts, text)
                if blanks is not None:
                    return name, blanks
    return None


def needles() -> Iterator[str]:
    """Of every message that begins something: the beginning of its longest literal piece."""
    for name, templates in TEMPLATES.items():
        if name not in _NOT_NEEDLES:
            for piece in (_longest(template).strip(" '\"") for template in templates):
                if len(piece) > 5 or not piece.isascii():
                    yield piece.encode()[:_NEEDLE].decode("utf-8", "ignore")


def pieces() -> Iterator[str]:
    """Of every message its longest literal piece."""
    return (_longest(template) for templates in TEMPLATES.values() for template in templates)


def _longest(template: str) -> str:
    return max(template.split("%s"), key=len)


_Split = tuple[str, list[str]]  # the name of a message, and the literal pieces of one of its templates
_NONE: list[_Split] = []


@dataclass(frozen=True, slots=True)
class _Index:
    """The templates by the first two characters of their lines, by the first alone where only one is given; and by
    the last, for those that begin with a blank."""

    begin: dict[str, list[_Split]]
    end: dict[str, list[_Split]]


@cache
def _index() -> _Index:
    index = _Index({}, {})
    for name, templates in TEMPLATES.items():
        for template in templates:
            parts = template.split("%s")
            if parts[0]:
                index.begin.setdefault(parts[0][:2], []).append((name, parts))
            else:
                index.end.setdefault(parts[-1][-1:], []).append((name, parts))
    for first in [key for key in index.begin if len(key) == 1]:
        for key, group in index.begin.items():
            if key[0] == first != key:
                group += index.begin[first]
    return index


def _fill(parts: list[str], text: str) -> tuple[str, ...] | None:
    """What stands in the blanks of a text that begins and ends as its template does."""
    if len(parts) == 1:
        return () if text == parts[0] else None
    at, end = len(parts[0]), len(text) - len(parts[-1])
    blanks = []
    for part in parts[1:-1]:
        found = text.find(part, at, end)
        if found < 0:
            return None
        blanks.append(text[at:found])
        at = found + len(part)
    blanks.append(text[at:end])
    for blank in blanks:
        if not 0 < len(blank) <= _BLANK:
            return None
    return tuple(blanks)
